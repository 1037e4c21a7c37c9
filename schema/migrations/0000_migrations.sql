-- Which migrations were applied. Made before the first of them, and a row is written after each.
CREATE TABLE IF NOT EXISTS `migrations` (
    `version` UInt32 COMMENT 'Number of the migration',
    `name` String COMMENT 'Its name',
    `program` String COMMENT 'Version of the program that applied it',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When, by the clock of the server'
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

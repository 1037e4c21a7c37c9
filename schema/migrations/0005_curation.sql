-- What users curate: a history that only grows. One of two who write an entry of the same number at the same time wins,
-- because an insert carries the number as its deduplication token.
CREATE TABLE IF NOT EXISTS `curation` (
    `sequence` Int64 COMMENT 'Number of the entry, counted from 1 without gaps',
    `time` DateTime64(6, 'UTC') COMMENT 'When it was made, by the clock of the server that took it',
    `who` String COMMENT 'Who made it, empty where nobody knows',
    `nonce` String COMMENT 'Drawn at random for each attempt to write an entry',
    `what` String COMMENT 'What it does, as JSON'
)
ENGINE = MergeTree
ORDER BY (sequence, time, nonce)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

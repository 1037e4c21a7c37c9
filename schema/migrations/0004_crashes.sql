-- What is derived from payloads, and rollups of it. Records that are there hold 0 and empty texts until `telemetrics
-- reparse`; a program of the version before goes on inserting, and what it inserts holds them too. So the parts that are
-- there have nothing to put into the projections, which that command makes.
ALTER TABLE `records`
    ADD COLUMN IF NOT EXISTS `stack_id` Int64 COMMENT 'Equal where the frames in the payload are: a hash of the first stack; 0 without.' CODEC(ZSTD(1)) AFTER `payload`,
    ADD COLUMN IF NOT EXISTS `process` LowCardinality(String) COMMENT 'Path of the program that crashed, by the payload; empty without.' CODEC(ZSTD(1)) AFTER `stack_id`,
    ADD COLUMN IF NOT EXISTS `signal` Int32 COMMENT 'Number of the signal that ended it, by the payload; 0 without.' CODEC(ZSTD(1)) AFTER `process`,
    ADD COLUMN IF NOT EXISTS `reason` String COMMENT 'What the kernel gave as its reason, by the payload; empty without.' CODEC(ZSTD(1)) AFTER `signal`,
    ADD PROJECTION IF NOT EXISTS `crash_daily` (SELECT toDateTime64(dateTrunc('day', `ts_reception`), 6, 'UTC') AS `day`, `system_name`, `build`, `classification`, `severity`, `external`, `stack_id`, count() WHERE `stack_id` != 0 GROUP BY `day`, `system_name`, `build`, `classification`, `severity`, `external`, `stack_id`),
    ADD PROJECTION IF NOT EXISTS `stacks` (SELECT toDateTime64(dateTrunc('day', `ts_reception`), 6, 'UTC') AS `day`, `classification`, `severity`, `stack_id`, minOrNull(`payload`) WHERE `stack_id` != 0 GROUP BY `day`, `classification`, `severity`, `stack_id`);

-- Rollups as projections: each part keeps its records and their counts together, so that neither a kill nor a deletion can
-- part them. Parts that are there already get theirs in the background; until then their records are counted.
ALTER TABLE `records`
    ADD PROJECTION IF NOT EXISTS `hourly` (SELECT toDateTime64(dateTrunc('hour', `ts_reception`), 6, 'UTC') AS `hour`, `system_name`, `build`, `classification`, `severity`, `external`, count() GROUP BY `hour`, `system_name`, `build`, `classification`, `severity`, `external`),
    ADD PROJECTION IF NOT EXISTS `daily` (SELECT toDateTime64(dateTrunc('day', `ts_reception`), 6, 'UTC') AS `day`, `system_name`, `build`, `classification`, `severity`, `external`, count() GROUP BY `day`, `system_name`, `build`, `classification`, `severity`, `external`),
    ADD PROJECTION IF NOT EXISTS `hourly_platform` (SELECT toDateTime64(dateTrunc('hour', `ts_reception`), 6, 'UTC') AS `hour`, `system_name`, `classification`, `severity`, `host_type`, count() GROUP BY `hour`, `system_name`, `classification`, `severity`, `host_type`),
    ADD PROJECTION IF NOT EXISTS `daily_platform` (SELECT toDateTime64(dateTrunc('day', `ts_reception`), 6, 'UTC') AS `day`, `system_name`, `classification`, `severity`, `host_type`, count() GROUP BY `day`, `system_name`, `classification`, `severity`, `host_type`),
    ADD PROJECTION IF NOT EXISTS `daily_machine` (SELECT toDateTime64(dateTrunc('day', `ts_reception`), 6, 'UTC') AS `day`, `system_name`, `build`, `classification`, `severity`, `external`, `machine_id` WHERE `classification` = 'org.clearlinux/heartbeat/ping' GROUP BY `day`, `system_name`, `build`, `classification`, `severity`, `external`, `machine_id`),
    MATERIALIZE PROJECTION `hourly`,
    MATERIALIZE PROJECTION `daily`,
    MATERIALIZE PROJECTION `hourly_platform`,
    MATERIALIZE PROJECTION `daily_platform`,
    MATERIALIZE PROJECTION `daily_machine`,
    MODIFY SETTING default_compression_codec = 'ZSTD(1)', lightweight_mutation_projection_mode = 'rebuild', deduplicate_merge_projection_mode = 'rebuild';

-- The table of records. What lives how long is no part of it: the retention policy is applied at each start.
CREATE TABLE IF NOT EXISTS `records` (
    `id` Int64 COMMENT 'Identifier: unique, below 2^53, grows with reception on one collector.',
    `ts_reception` DateTime64(6, 'UTC') COMMENT 'When the collector accepted the record.',
    `ts_capture` DateTime64(6, 'UTC') COMMENT 'When the machine says that the event happened.',
    `classification` LowCardinality(String) COMMENT 'What the record is about, as vendor/class/detail.',
    `severity` Int8 COMMENT '1 low, 2 medium, 3 high, 4 critical.',
    `machine_id` String COMMENT 'Which machine sent it; clients change it every three days.',
    `system_name` LowCardinality(String) COMMENT 'Name of the operating system.',
    `build` LowCardinality(String) COMMENT 'Version of the operating system, comparable within one system_name.',
    `kernel_version` LowCardinality(String) COMMENT 'Version of the running kernel.',
    `arch` LowCardinality(String) COMMENT 'Processor architecture.',
    `host_type` LowCardinality(String) COMMENT 'Hardware, as vendor|product|version.',
    `board_name` LowCardinality(String) COMMENT 'Mainboard, as name|vendor.',
    `cpu_model` LowCardinality(String) COMMENT 'Processor model.',
    `bios_version` LowCardinality(String) COMMENT 'Firmware version.',
    `event_id` String COMMENT '32 hexadecimal digits shared by the records of one event.',
    `external` Bool COMMENT 'Whether the request was marked with X-CLR-External: true.',
    `record_format_version` Int8 COMMENT 'Generation of the record format, 1 to 4.',
    `payload_format_version` Int32 COMMENT 'Version of the payload\'s own grammar.',
    `payload` String COMMENT 'What the probe wrote, as text.'
)
ENGINE = MergeTree
PARTITION BY toDate(ts_reception)
ORDER BY (classification, ts_reception, id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 0;

-- What parsers make of payloads. Records that are there hold an empty text until `telemetrics reparse`, and so does what a
-- program of the version before inserts.
ALTER TABLE `records`
    ADD COLUMN IF NOT EXISTS `attributes` String COMMENT 'What parsers made of it: a JSON object of texts with sorted names; empty without.' CODEC(ZSTD(1)) AFTER `reason`;

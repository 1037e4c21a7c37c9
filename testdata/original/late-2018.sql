-- The tables of telemetrics-backend from July 2018 on, as its migrations up to 18e790856b53 make them: names of classes and
-- builds stand in the records, and the tables that they came from are still there.
CREATE TABLE build (id serial PRIMARY KEY, build varchar);
CREATE TABLE classification (id serial PRIMARY KEY, classification varchar, domain varchar, probe varchar);
CREATE TABLE guilty (id serial PRIMARY KEY, function varchar, module varchar, comment varchar, hide boolean);
CREATE TABLE guilty_blacklisted (id serial PRIMARY KEY, function varchar, module varchar);
CREATE TABLE records (
    id serial PRIMARY KEY,
    severity integer,
    host_type varchar,
    machine_id varchar,
    architecture varchar,
    kernel_version varchar,
    system_name text,
    record_version integer,
    payload_version integer,
    payload text NOT NULL,
    timestamp_client numeric,
    timestamp_server numeric NOT NULL,
    backtrace varchar,
    processed boolean,
    classification_id integer REFERENCES classification (id),
    build_id integer REFERENCES build (id),
    guilty_id integer REFERENCES guilty (id),
    external boolean,
    bios_version text,
    board_name text,
    cpu_model text,
    event_id text,
    build text NOT NULL DEFAULT '',
    classification text NOT NULL DEFAULT ''
);

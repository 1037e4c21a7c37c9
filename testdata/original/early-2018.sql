-- The tables of telemetrics-backend at the beginning of 2018, as its migrations up to cb72058cf4e4 make them.
CREATE TABLE build (id serial PRIMARY KEY, build varchar);
CREATE TABLE classification (id serial PRIMARY KEY, classification varchar, domain varchar, probe varchar);
CREATE TABLE guilty (id serial PRIMARY KEY, function varchar, module varchar, comment varchar, hide boolean);
CREATE TABLE guilty_blacklisted (id serial PRIMARY KEY, function varchar, module varchar);
CREATE TABLE records (
    id serial PRIMARY KEY,
    severity integer,
    machine varchar,
    machine_id varchar,
    architecture varchar,
    kernel_version varchar,
    os_name varchar,
    record_format_version integer,
    payload_format_version integer,
    payload bytea,
    tsp integer,
    tsp_server integer,
    buildstamp varchar,
    backtrace varchar,
    dupe_of integer,
    dupecount integer,
    dupemaster boolean,
    security boolean,
    hide boolean,
    processed boolean,
    icon varchar,
    classification_id integer REFERENCES classification (id),
    build_id integer REFERENCES build (id),
    guilty_id integer REFERENCES guilty (id),
    external boolean,
    bios_version varchar,
    board_name varchar,
    cpu_model varchar,
    event_id varchar
);

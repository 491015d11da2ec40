-- Staging of the reference as a queue by id, which several workers can empty at once.
DROP TABLE reference.staging;
CREATE UNLOGGED TABLE reference.staging (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    value_bool boolean,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What has been changed about attributes, by whom.

CREATE SEQUENCE eav.attribute_changes_seq;
CREATE TABLE eav.attribute_changes (
    change_id bigint PRIMARY KEY DEFAULT nextval('eav.attribute_changes_seq'),
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL DEFAULT session_user,
    change text NOT NULL CHECK (change IN ('projection', 'type', 'name', 'index')),
    old_value text,
    new_value text,
    details jsonb NOT NULL DEFAULT '{}'
);
ALTER SEQUENCE eav.attribute_changes_seq OWNED BY eav.attribute_changes.change_id;
CREATE INDEX ON eav.attribute_changes (tenant_id, attribute_id);
COMMENT ON TABLE eav.attribute_changes IS 'One row for each change of an attribute: its projection, type or name, or an index of it. Written by the functions that change them.';
COMMENT ON COLUMN eav.attribute_changes.changed_by IS 'The role that was logged in.';
COMMENT ON COLUMN eav.attribute_changes.details IS 'What else there is to say, such as how many values could not be converted.';

-- Renaming an attribute: the registry alone changes. Documents keep the name that it was registered
-- with, and so do producers, as long as they like.

CREATE FUNCTION eav.rename_attribute(tenant_id bigint, attribute text, new_name text) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := new_name;
    known eav.attributes;
    holder integer;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('attribute name', attribute);
    PERFORM eav._check_name('new_name', wanted_name);
    holder := eav._claim_name(wanted_tenant, wanted_name, true);
    known := eav._check_attribute(wanted_tenant, attribute);
    IF holder <> known.attribute_id THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('attribute name "%s" of tenant %s is taken', wanted_name, wanted_tenant),
            DETAIL = (SELECT CASE WHEN a.name = wanted_name THEN 'It is the name of another attribute.'
                             ELSE format('Attribute "%s" was registered with it.', a.name) END
                      FROM eav.attributes a
                      WHERE a.tenant_id = wanted_tenant AND a.attribute_id = holder),
            HINT = 'Choose another name.';
    ELSIF known.name = wanted_name THEN
        RETURN;
    END IF;
    UPDATE eav.attributes a
    SET name = wanted_name,
        document_name = nullif(coalesce(a.document_name, a.name), wanted_name)
    WHERE a.tenant_id = wanted_tenant AND a.attribute_id = known.attribute_id;
    INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, old_value, new_value)
    VALUES (wanted_tenant, known.attribute_id, 'name', known.name, wanted_name);
END
$$;
COMMENT ON FUNCTION eav.rename_attribute(bigint, text, text) IS
'Gives an attribute another name and returns nothing; takes the same time whatever there is of it. History and documents stay as they are, and all functions show them under the new name. The name that it was registered with stays its own: in hot_attrs and live_attrs, for values that arrive under it, and where an attribute is named to a function. Any name it had in between is free again. Recorded in eav.attribute_changes; nothing happens when it has that name already. Until the transaction has ended, new attributes of the tenant cannot be registered. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown attribute, and duplicate_object (42710) when the new name is that of another attribute, or one that another was registered with.';

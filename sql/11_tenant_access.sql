-- Who may act for which tenant. The rules stand in src/access/tenant.cpp.

CREATE TABLE eav.tenant_grants (
    role name NOT NULL,
    role_id oid,
    tenant_id bigint,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    granted_by text NOT NULL DEFAULT session_user
);
CREATE INDEX tenant_grants_role_idx ON eav.tenant_grants (role);
CREATE INDEX tenant_grants_role_id_idx ON eav.tenant_grants (role_id);
COMMENT ON TABLE eav.tenant_grants IS 'Roles that are pinned to a tenant by eav.grant_tenant(): they, and their members, can act for no other.';
COMMENT ON COLUMN eav.tenant_grants.role IS 'Its name when it was pinned; counts when no role has the number, as after a restore from a dump.';
COMMENT ON COLUMN eav.tenant_grants.role_id IS 'Its number, which stays when the role is renamed; null for one that was not there when a dump was restored.';
COMMENT ON COLUMN eav.tenant_grants.tenant_id IS 'Null when the tenant has been erased: the role acts for none then.';
COMMENT ON COLUMN eav.tenant_grants.granted_by IS 'The role that was logged in.';
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON eav.tenant_grants
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();

-- A dump brings the numbers of roles of another server.
CREATE FUNCTION eav._know_role() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.role_id := (SELECT r.oid FROM pg_roles r WHERE r.rolname = NEW.role);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION eav._know_role() IS 'Internal: the number that the role has on this server.';
CREATE TRIGGER know_role BEFORE INSERT ON eav.tenant_grants
    FOR EACH ROW EXECUTE FUNCTION eav._know_role();

CREATE FUNCTION eav.current_tenant() RETURNS bigint
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eav_current_tenant';
COMMENT ON FUNCTION eav.current_tenant() IS
'Returns the tenant that the current user acts for: that of eav.grant_tenant(), or else the one that the session has chosen with eav.set_tenant(). Null for one who acts for none, and for superusers, roles with BYPASSRLS and members of eav_admin, who act for all, as long as they have chosen none. Raises insufficient_privilege (42501) when eav.tenant_id names a tenant that the role may not act for.';

CREATE FUNCTION eav._check_tenant_access(tenant_id bigint) RETURNS void
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eav_check_tenant_access';
COMMENT ON FUNCTION eav._check_tenant_access(bigint) IS
'Internal: returns when the current user may act for the tenant, or for null. Raises insufficient_privilege (42501) when not, whether there is such a tenant or not.';

CREATE FUNCTION eav._writer_tenant() RETURNS bigint
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eav_writer_tenant';
COMMENT ON FUNCTION eav._writer_tenant() IS
'Internal: the only tenant that the current user may write for; null for one who may write for all. Raises insufficient_privilege (42501) for one who may write for none.';

CREATE FUNCTION eav.set_tenant(tenant_id bigint, is_local boolean DEFAULT false) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_set_tenant';
COMMENT ON FUNCTION eav.set_tenant(bigint, boolean) IS
'Chooses the tenant that the session acts for: sets eav.tenant_id; returns nothing. tenant_id: null for none. is_local: until the end of the transaction. Behind a pool of connections that clients share by transaction, such as PgBouncer in transaction mode, use is_local, and set eav.tenant_scope to transaction, so that no other choice has an effect. Raises insufficient_privilege (42501) for a role that is pinned to other tenants, no_active_sql_transaction (25P01) outside a transaction block when the choice would end with the statement, null_value_not_allowed (22004) for a null is_local.';

CREATE FUNCTION eav.grant_tenant(role name, tenant_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    number CONSTANT oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = grant_tenant.role);
BEGIN
    -- An erasure of the tenant finds this pin, or this finds no tenant.
    PERFORM FROM eav.tenants t WHERE t.tenant_id = tenant_id FOR KEY SHARE;
    PERFORM eav._check_tenant(tenant_id);
    IF role IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role must not be null';
    ELSIF number IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('role "%s" does not exist', role);
    END IF;
    -- Nobody else pins the role meanwhile.
    LOCK TABLE eav.tenant_grants IN SHARE ROW EXCLUSIVE MODE;
    PERFORM eav.revoke_tenant(role);
    INSERT INTO eav.tenant_grants (role, tenant_id) VALUES (role, tenant_id);
END
$$;
COMMENT ON FUNCTION eav.grant_tenant(name, bigint) IS
'Pins a role to a tenant, instead of the one that it may have been pinned to before; returns nothing. The role, and every role that is a member of it, then acts for this tenant without choosing it, and can choose no other; superusers, roles with BYPASSRLS and members of eav_admin still act for all. What the role may do it gets by membership in eav_reader and eav_writer. Raises undefined_object (42704) for an unknown role, foreign_key_violation (23503) for an unknown tenant, null_value_not_allowed (22004).';

CREATE FUNCTION eav.revoke_tenant(role name) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    -- A pin whose number is that of another role is that role's, whatever it was called once.
    DELETE FROM eav.tenant_grants g
    WHERE g.role_id = (SELECT r.oid FROM pg_roles r WHERE r.rolname = revoke_tenant.role)
       OR g.role = revoke_tenant.role
          AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = g.role_id);
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION eav.revoke_tenant(name) IS
'Takes back what eav.grant_tenant() did, and returns true, or false when the role was not pinned. The role may then choose its tenant with eav.set_tenant(): take eav_reader and eav_writer from it, too, if it is to see nothing. Raises nothing.';

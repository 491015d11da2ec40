-- What pg_dump takes along: the rows that users made. CREATE EXTENSION leaves these tables
-- empty, so that a restore meets no row of its own.
--
-- Left out: attribute_moves and erasures, which would begin while the tables they work on are still
-- being restored; flush_state and the staging tables, whose transaction ids mean nothing in another
-- cluster; and history, whose partitions are no members of the extension and are dumped as tables.

SELECT pg_catalog.pg_extension_config_dump('eav.tenants', '');
SELECT pg_catalog.pg_extension_config_dump('eav.tenant_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.tenant_grants', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entities', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attributes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_changes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_changes_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_reads', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_indexes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_jsonb', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_values_current', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_rollups', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_rollups_daily', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_keys', '');
SELECT pg_catalog.pg_extension_config_dump('eav.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('eav.audit_log_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.erasure_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.erasure_secret', '');
SELECT pg_catalog.pg_extension_config_dump('eav.erased_subjects', '');
SELECT pg_catalog.pg_extension_config_dump('eav.partition_policy', '');
SELECT pg_catalog.pg_extension_config_dump('eav.flush_backlog', '');
SELECT pg_catalog.pg_extension_config_dump('eav.flush_backlog_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_gaps', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_gaps_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_rejects', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_rejects_seq', '');
-- A row that is as installed comes with the extension; one that was changed replaces it. What the
-- heartbeats say is of this cluster only.
SELECT pg_catalog.pg_extension_config_dump('eav.freshness_budget', 'WHERE NOT is_default');
SELECT pg_catalog.pg_extension_config_dump('eav.nodes', '');

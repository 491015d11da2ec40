-- Wall time and processor time of this backend, until timer_stop.sql.
SELECT pg_backend_pid() AS backend \gset
\setenv BACKEND :backend
\set cpu_start `cut -d ' ' -f 14,15 /proc/$BACKEND/stat | tr ' ' +`
SELECT extract(epoch FROM clock_timestamp()) AS wall_start \gset

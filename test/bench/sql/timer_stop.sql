SELECT extract(epoch FROM clock_timestamp()) AS wall_stop \gset
\set cpu_stop `cut -d ' ' -f 14,15 /proc/$BACKEND/stat | tr ' ' +`
\set ticks `getconf CLK_TCK`
SELECT round(:wall_stop - :wall_start, 3), round(((:cpu_stop) - (:cpu_start)) / (:ticks)::numeric, 2);

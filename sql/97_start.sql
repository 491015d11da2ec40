-- The worker begins when this transaction has ended. Without a free process slot the extension
-- works as well, driven by calls of eav.stage_flush().
DO $$
BEGIN
    PERFORM eav.start_worker();
EXCEPTION WHEN insufficient_resources THEN
    RAISE WARNING 'the flush worker was not started: %', SQLERRM
        USING HINT = 'Raise max_worker_processes and call eav.start_worker().';
END;
$$;

-- Calls with the same parameters that did not find the same number of entities in all designs.
SELECT count(*) FROM (SELECT FROM bench.call GROUP BY split_part(question, ',', 1), n
                      HAVING min(rows) <> max(rows)) AS differing;

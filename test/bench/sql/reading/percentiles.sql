SELECT question, count(*), round(avg(rows)),
       round(percentile_disc(0.50) WITHIN GROUP (ORDER BY ms)::numeric, 3),
       round(percentile_disc(0.95) WITHIN GROUP (ORDER BY ms)::numeric, 3),
       round(percentile_disc(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 3)
FROM bench.call GROUP BY question ORDER BY min(at);

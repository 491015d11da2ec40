-- Deep into an order: :pages pages of 100, all entities that meet a filter half of them meet.
CALL bench.turn_pages('ordered by entity_id', '$.hot_001 == true', NULL, :pages);
CALL bench.turn_pages('ordered by a cold attribute', '$.cold_001 >= 0', 'cold_001', :pages);
CALL bench.turn_pages('ordered by a cold attribute, descending', '$.cold_001 >= 0', 'cold_001 desc', :pages);

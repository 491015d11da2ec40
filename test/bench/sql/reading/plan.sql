SELECT step, node, attribute, projection, access, index_name, estimated_rows, detail FROM eav.explain_find(1, :'filter');

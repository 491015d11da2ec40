SELECT command FROM bench.current_index \gexec

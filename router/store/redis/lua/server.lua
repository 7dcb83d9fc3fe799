-- KEYS: meta. ARGV: request id.
-- Which server has the data set.
-- include: run_id
return {ARGV[1], run_id()}

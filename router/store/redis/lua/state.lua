-- KEYS: meta, rows... ARGV: request id.
-- include: state
return {ARGV[1], unpack(state(2))}

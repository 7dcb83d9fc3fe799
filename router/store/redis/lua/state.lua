-- KEYS: meta. ARGV: request id.
-- include: state
return {ARGV[1], unpack(state())}

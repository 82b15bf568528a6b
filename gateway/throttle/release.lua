-- KEYS: the set of calls under way. ARGV: id of the call.
return { redis.call('ZREM', KEYS[1], ARGV[1]) }

#!lua
-- The log, and all that is written to it. Every write is made here, so that each is whole or is not at all.
--
-- KEYS  log, meta, epochs, kept, kept-until, and the key of a record
-- ARGV  what to do, 64 random bits for an epoch that begins, and what that needs

local log, meta, epochs, kept, kept_until, known = unpack(KEYS)
local what, fresh = ARGV[1], ARGV[2]

-- Which commands the user may not run. All are tried on a key that holds a string, which none but SET changes.
if what == 'probe' then
  local missing = {}
  local function try(...)
    local answer = redis.pcall(...)
    local refused = type(answer) == 'table' and answer.err or ''
    -- As Redis 7.0 says it, and as later ones and Valkey do.
    for _, word in ipairs({ 'NOPERM', 'The user executing the script', 'ACL failure' }) do
      if string.find(refused, word, 1, true) then
        missing[#missing + 1] = string.lower((...))
        break
      end
    end
  end
  try('SET', known, '', 'PX', 1000)
  if #missing == 0 then
    try('GET', known)
    try('EXISTS', known)
    try('DEL', known .. ':none')
    try('TIME')
    try('INFO', 'replication')
    try('HMGET', known, 'a')
    try('HSET', known, 'a', 'b')
    try('HDEL', known, 'a')
    try('HLEN', known)
    try('HEXISTS', known, 'a')
    try('RPUSH', known, 'a')
    try('LRANGE', known, 0, 1)
    try('LTRIM', known, 0, 1)
    try('ZADD', known, 1, 'a')
    try('ZREM', known, 'a')
    try('ZRANGEBYSCORE', known, 0, 1)
    try('XADD', known, '*', 'a', 'b')
    try('XRANGE', known, '-', '+')
    try('XTRIM', known, 'MAXLEN', 1)
  end
  return missing
end

local function whole(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)

-- The record was under way for so long that nobody answers for it any more: its key may have been forgotten.
if what == 'publish' and clock > tonumber(ARGV[7]) then
  return { '', 0, 0, whole(clock) }
end

local found = redis.call('HMGET', meta, 'epoch', 'n', 'ms', 'skew', 'replid', 'base')
local epoch, n, ms = found[1], tonumber(found[2] or 0), tonumber(found[3] or 0)
local skew, base = tonumber(found[4] or 0), tonumber(found[6] or 0)
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')

-- The log's own time goes on at the clock's pace and never back: where the clock was set back, so far ahead of it.
if clock + skew < ms then
  skew = ms - clock
end
local now = clock + skew

-- An epoch ends with the server that wrote it, and where the log is not what it was.
local previous, begins = '', false
if not epoch then
  redis.call('DEL', log, epochs)
  begins, n, base, skew, now = true, 0, 0, 0, clock
elseif redis.call('EXISTS', log) == 0 then
  begins, n, base = true, n + 1, n + 1
elseif found[5] ~= replid then
  begins, n, previous = true, n + 1, epoch
elseif what == 'open' and ARGV[3] == epoch and n < tonumber(ARGV[4]) then
  begins, n, previous = true, n + 1, ARGV[5] == '1' and epoch or ''
end
if begins then
  epoch = fresh
  redis.call('XADD', log, whole(now) .. '-' .. whole(n), 'e', epoch, 'p', previous)
  redis.call('HSET', meta, 'epoch', epoch, 'n', whole(n), 'ms', whole(now), 'skew', whole(skew),
    'replid', replid, 'base', whole(base))
  redis.call('RPUSH', epochs, epoch .. ' ' .. whole(n) .. ' ' .. whole(now) .. ' ' .. previous)
  redis.call('LTRIM', epochs, -64, -1)
  ms = now
end

local function forget_outlived()
  local outlived = redis.call('ZRANGEBYSCORE', kept_until, '-inf', whole(now), 'LIMIT', 0, 128)
  if #outlived > 0 then
    redis.call('ZREM', kept_until, unpack(outlived))
    redis.call('HDEL', kept, unpack(outlived))
  end
end

if what == 'open' then
  forget_outlived()
  return { epoch, whole(n), whole(ms), whole(skew), whole(clock),
    redis.call('LRANGE', epochs, 0, -1), redis.call('XRANGE', log, '-', '+', 'COUNT', 1) }
end

local record, window, max_len, max_age = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local name, lifetime, max_kept, is_optional = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'

-- A key of a log that is no more is no key.
local first = redis.call('GET', known)
if first then
  local first_epoch, first_n = string.match(first, '^(%x+) (%d+)$')
  if first_epoch and tonumber(first_n) >= base then
    return { first_epoch, first_n, 0, whole(clock) }
  end
end

if name ~= '' then
  forget_outlived()
  local room = is_optional and max_kept / 2 or max_kept
  if redis.call('HLEN', kept) >= room and redis.call('HEXISTS', kept, name) == 0 then
    if not is_optional then
      return redis.error_reply('SSEKEPT as many records are kept as may be')
    end
    name = ''
  end
end

n = n + 1
local added = redis.pcall('XADD', log, 'MINID', '~', whole(math.max(now - max_age, 0)), whole(now) .. '-' .. whole(n),
  'e', epoch, 'r', record)
if type(added) == 'table' and added.err then
  -- Nothing was written: whoever published may know it.
  return redis.error_reply('SSEADD ' .. added.err)
end
if n % 64 == 0 then
  redis.call('XTRIM', log, 'MAXLEN', '~', max_len)
end
redis.call('HSET', meta, 'n', whole(n), 'ms', whole(now), 'skew', whole(skew))
redis.call('SET', known, epoch .. ' ' .. whole(n), 'PX', window)
if name ~= '' then
  redis.call('HSET', kept, name, whole(now + lifetime) .. ' ' .. record)
  redis.call('ZADD', kept_until, whole(now + lifetime), name)
end
return { epoch, whole(n), 1, whole(clock) }

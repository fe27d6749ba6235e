"""What Redis does for limits, in one step: the arithmetic of `window` once more, in Lua; tests compare them.

    <namespace><limiter>      a hash: r<second> → requests, t<second> → tokens, p<process> → how many of its run
    <namespace>alive:<process>    as long as the process is; what runs in one that is not does not count

Arguments: the process, its lease in milliseconds, where the living are, seconds to add to Redis's clock; then, each
after its number: (key, running) as it is now; (key, second, change) of tokens; and what is asked, (tokens, number,
(key, rpm, tpm, concurrency) …), -1 for no bound. Keys are given by their places, of which the first is the process's.

The answer: the time in seconds and microseconds; then for each request whether it is counted, and of each limiter the
seven numbers of `State`.

Times are Redis's own, so that processes need not agree on theirs. Should its clock be set back, what is in its future
counts until it is a minute past: for longer, and never for less. Whatever nobody asks for is gone after two minutes.
"""

SOURCE = """
local SPAN, FORGET = 60, 120
local clock = redis.call('TIME')
local me, lease, living = ARGV[1], ARGV[2], ARGV[3]
local now = tonumber(clock[1]) + tonumber(ARGV[4])
local oldest = now - SPAN
local place = 4
local function given()
  place = place + 1
  return tonumber(ARGV[place])
end

local minutes = {}
local function minute(key)
  if minutes[key] then return minutes[key] end
  local found, gone = {requests = {}, tokens = {}, mine = 0, others = 0}, {}
  local fields = redis.call('HGETALL', KEYS[key])
  for i = 1, #fields, 2 do
    local kind, name, value = string.sub(fields[i], 1, 1), string.sub(fields[i], 2), tonumber(fields[i + 1])
    if kind == 'p' then
      if name == me then
        found.mine = value
      elseif redis.call('EXISTS', living .. name) == 1 then
        found.others = found.others + value
      else
        gone[#gone + 1] = fields[i]
      end
    elseif tonumber(name) < oldest then
      gone[#gone + 1] = fields[i]
    elseif kind == 'r' then
      found.requests[tonumber(name)] = value
    else
      found.tokens[tonumber(name)] = value
    end
  end
  if #gone > 0 then redis.call('HDEL', KEYS[key], unpack(gone)) end
  minutes[key] = found
  return found
end

local function add(key, counts, kind, second, amount)
  counts[second] = (counts[second] or 0) + amount
  redis.call('HINCRBY', KEYS[key], kind .. second, amount)
  redis.call('EXPIRE', KEYS[key], FORGET)
end

local function run(key, number)
  minute(key).mine = number
  if number > 0 then
    redis.call('HSET', KEYS[key], 'p' .. me, number)
    redis.call('EXPIRE', KEYS[key], FORGET)
  else
    redis.call('HDEL', KEYS[key], 'p' .. me)
  end
end

local function sum(counts)
  local total, last = 0, -SPAN - 1
  for second, count in pairs(counts) do
    if count > 0 then
      total = total + count
      if second > last then last = second end
    end
  end
  return total, last + SPAN + 1
end

local function opens(counts, excess)
  if excess <= 0 then return 0 end
  local seconds = {}
  for second in pairs(counts) do seconds[#seconds + 1] = second end
  table.sort(seconds)
  for _, second in ipairs(seconds) do
    excess = excess - counts[second]
    if excess <= 0 then return second + SPAN + 1 end
  end
  return now + SPAN + 1
end

redis.call('SET', KEYS[1], 1, 'PX', lease)
for _ = 1, given() do
  local key = given()
  run(key, given())
end
for _ = 1, given() do
  local key, second, change = given(), given(), given()
  local tokens = minute(key).tokens
  if change > 0 then
    add(key, tokens, 't', now, change)
  elseif tokens[second] then
    add(key, tokens, 't', second, math.max(change, -tokens[second]))
  end
end

local told = {now, tonumber(clock[2])}
for _ = 1, given() do
  local tokens, number = given(), given()
  local asked, verdict, granted = {}, #told + 1, 1
  told[verdict] = 0
  for i = 1, number do
    local key, rpm, tpm, most = given(), given(), given(), given()
    local found = minute(key)
    local requests, requests_until = sum(found.requests)
    local used, used_until = sum(found.tokens)
    local running = found.mine + found.others
    local opens_requests, opens_tokens = 0, 0
    if rpm >= 0 then opens_requests = opens(found.requests, requests + 1 - rpm) end
    if tpm >= 0 then opens_tokens = opens(found.tokens, used + tokens - tpm) end
    if opens_requests > 0 or opens_tokens > 0 or (most >= 0 and running >= most) then granted = 0 end
    asked[i] = {key, tpm, most}
    for _, one in ipairs({requests, used, running, requests_until, used_until, opens_requests, opens_tokens}) do
      told[#told + 1] = one
    end
  end
  told[verdict] = granted
  for i = 1, number * granted do
    local key, tpm, most = unpack(asked[i])
    add(key, minute(key).requests, 'r', now, 1)
    if tpm >= 0 and tokens > 0 then add(key, minute(key).tokens, 't', now, tokens) end
    if most >= 0 then run(key, minute(key).mine + 1) end
  end
end
return told
"""

-- Appends the events of one or more producers to a task's log, gapless and once each.
-- KEYS: stream, hash of the producers' counters
-- ARGV: field, epoch and number of the cursor, event that opens an epoch,
--       run that appends, run that appended before it, expiry in ms or 0, expiry where no append
--       has named one, entries to keep, bytes to keep, producers to remember, then for each
--       producer: its name, the number of its events, and counter and event in turn
-- Returns: epoch and number of the last entry, entries added, 1 if an epoch was opened.
-- The hash has fields of the log itself; their names begin with "@":
--   @bytes   size of the stream's events
--   @runs    the latest runs that appended, latest first
--   @expiry  the expiry that the latest append has named
--   @erased  the log was erased: nothing is appended any more
local stream, producers = KEYS[1], KEYS[2]
local field, opening = ARGV[1], ARGV[4]
local cursor_epoch, cursor_number = tonumber(ARGV[2]), tonumber(ARGV[3])
local run, run_before, expiry, default_expiry = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local max_entries, max_bytes, max_producers = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local FIRST_PRODUCER = 12
-- A run id has 36 characters: the eight latest runs, and the spaces between.
local RUNS_LENGTH = 8 * 37

local runs, bytes, named_expiry, erased =
  unpack(redis.call('HMGET', producers, '@runs', '@bytes', '@expiry', '@erased'))
if erased then return { 0, 0, 0, 0 } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local epoch, number = 0, 0
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
local missing = tail[1] == nil
if not missing then
  local last_epoch, last_number = string.match(tail[1][1], '^(%d+)-(%d+)$')
  epoch, number = tonumber(last_epoch), tonumber(last_number)
end

-- A run that neither appended before nor follows the run that did repeats a part of the task:
-- its workflow was reset. What the log has after that point is not true any more.
if runs and not string.find(runs, run, 1, true) then
  if string.match(runs, '^%S*') == run_before then
    runs = string.sub(run .. ' ' .. runs, 1, RUNS_LENGTH)
  else
    redis.call('DEL', stream)
    missing = true
  end
end

if missing then
  -- Whatever was appended before is gone, so nothing is a duplicate.
  redis.call('DEL', producers)
  runs, bytes, named_expiry = run, false, false
end
bytes = tonumber(bytes or 0)

local added = 0
local function add(event)
  number = number + 1
  redis.call('XADD', stream, string.format('%.0f-%.0f', epoch, number), field, event)
  bytes = bytes + #event
  added = added + 1
end

local lost_tail = epoch < cursor_epoch or (epoch == cursor_epoch and number < cursor_number)
local opened = 0
if missing or lost_tail then
  epoch = math.max(now, epoch + 1, cursor_epoch + 1)
  number = 0
  opened = 1
  add(opening)
end

local appending = {}
local position = FIRST_PRODUCER
while position <= #ARGV do
  local producer, count = ARGV[position], tonumber(ARGV[position + 1])
  appending[producer] = true
  local remembered = redis.call('HGET', producers, producer)
  local known = 0
  if remembered then known = tonumber(string.match(remembered, '^%d+')) end
  for i = position + 2, position + 2 * count, 2 do
    local counter = tonumber(ARGV[i])
    if counter > known then
      add(ARGV[i + 1])
      known = counter
    end
  end
  redis.call('HSET', producers, producer, string.format('%.0f %.0f', known, now))
  position = position + 2 + 2 * count
end

-- Forget the producers that have been silent longest, half of them at once.
if redis.call('HLEN', producers) > max_producers then
  local all = redis.call('HGETALL', producers)
  local times = {}
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) ~= '@' then
      times[#times + 1] = tonumber(string.match(all[i + 1], '%d+$'))
    end
  end
  table.sort(times)
  local limit = times[math.ceil(#times / 2)]
  for i = 1, #all, 2 do
    if not appending[all[i]] and string.sub(all[i], 1, 1) ~= '@'
      and tonumber(string.match(all[i + 1], '%d+$')) <= limit then
      redis.call('HDEL', producers, all[i])
    end
  end
end

-- Drop the oldest entries, an eighth of the limit at once. The latest entry always stays.
local length = redis.call('XLEN', stream)
if length > max_entries or bytes > max_bytes then
  local entries_kept, bytes_kept = max_entries - math.floor(max_entries / 8), max_bytes - math.floor(max_bytes / 8)
  local function too_much()
    return length > 1 and (length > entries_kept or bytes > bytes_kept)
  end
  while too_much() do
    local dropped
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', 64)) do
      if not too_much() then break end
      dropped = entry[1]
      bytes = bytes - #entry[2][2]
      length = length - 1
    end
    local dropped_epoch, dropped_number = string.match(dropped, '^(%d+)-(%d+)$')
    redis.call('XTRIM', stream, 'MINID', string.format('%s-%.0f', dropped_epoch, tonumber(dropped_number) + 1))
  end
end

redis.call('HSET', producers, '@bytes', string.format('%.0f', bytes), '@runs', runs or run)
if expiry ~= '0' then
  redis.call('HSET', producers, '@expiry', expiry)
else
  expiry = named_expiry or default_expiry
end
redis.call('PEXPIRE', stream, expiry)
redis.call('PEXPIRE', producers, expiry)
return { epoch, number, added, opened }

-- Appends one producer's events to a task's log, gapless and once each.
-- KEYS: stream, hash of the producers' counters
-- ARGV: field, epoch and number of the cursor, event that opens an epoch, producer,
--       expiry in ms, entries to keep, producers to remember, then counter and event in turn
-- Returns: epoch and number of the last entry, entries added, 1 if an epoch was opened.
local stream, producers = KEYS[1], KEYS[2]
local field, opening, producer = ARGV[1], ARGV[4], ARGV[5]
local cursor_epoch, cursor_number = tonumber(ARGV[2]), tonumber(ARGV[3])
local expiry, max_entries, max_producers = ARGV[6], ARGV[7], tonumber(ARGV[8])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local epoch, number = 0, 0
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
local missing = tail[1] == nil
if missing then
  -- Whatever was appended before is gone, so nothing is a duplicate.
  redis.call('DEL', producers)
else
  local last_epoch, last_number = string.match(tail[1][1], '^(%d+)-(%d+)$')
  epoch, number = tonumber(last_epoch), tonumber(last_number)
end

local added = 0
local function add(event)
  number = number + 1
  redis.call('XADD', stream, string.format('%.0f-%.0f', epoch, number), field, event)
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

local known = 0
local remembered = redis.call('HGET', producers, producer)
if remembered then known = tonumber(string.match(remembered, '^%d+')) end
for i = 9, #ARGV, 2 do
  local counter = tonumber(ARGV[i])
  if counter > known then
    add(ARGV[i + 1])
    known = counter
  end
end
redis.call('HSET', producers, producer, string.format('%.0f %.0f', known, now))

-- Forget the producers that have been silent longest, half of them at once.
if redis.call('HLEN', producers) > max_producers then
  local all = redis.call('HGETALL', producers)
  local times = {}
  for i = 2, #all, 2 do times[i / 2] = tonumber(string.match(all[i], '%d+$')) end
  table.sort(times)
  local limit = times[math.ceil(#times / 2)]
  for i = 1, #all, 2 do
    if all[i] ~= producer and tonumber(string.match(all[i + 1], '%d+$')) <= limit then
      redis.call('HDEL', producers, all[i])
    end
  end
end

redis.call('XTRIM', stream, 'MAXLEN', '~', max_entries)
redis.call('PEXPIRE', stream, expiry)
redis.call('PEXPIRE', producers, expiry)
return { epoch, number, added, opened }

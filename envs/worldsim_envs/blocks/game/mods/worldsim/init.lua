-- The world runs in lock-step: each server step reads one command from a pipe, moves the player by a twentieth of a
-- second (or does nothing), answers with one line of JSON, and tells the client which answer it shows by the colour of
-- a small mark on the screen. While no command comes, the server stands still. The pipe's end is the game's end.

worldsim = {}
local path = minetest.get_modpath("worldsim")
for _, name in ipairs({"nodes", "terrain", "body", "hands", "senses"}) do
    dofile(path .. "/" .. name .. ".lua")
end

local terrain, body, hands, senses = worldsim.terrain, worldsim.body, worldsim.hands, worldsim.senses
local folder = minetest.get_worldpath()
local MARKS = 64
local RADIUS = 3 -- map blocks of 16 nodes that are sent round the player

local answers, commands -- the pipes, open once the player is there
local player, mark, count = nil, nil, 0
local sent = {} -- map blocks that the client has

function minetest.send_join_message() end
function minetest.send_leave_message() end

minetest.register_on_joinplayer(function(who)
    player = who
    local name = who:get_player_name()
    minetest.set_player_privs(name, {fly = true, noclip = true, interact = true})
    who:set_properties({eye_height = 0, visual_size = {x = 0, y = 0}, pointable = false, makes_footstep_sound = false})
    who:hud_set_flags({
        hotbar = false, healthbar = false, crosshair = false, wielditem = false, breathbar = false, minimap = false,
        minimap_radar = false, basic_debug = false,
    })
    who:set_sun({visible = false, sunrise_visible = false})
    who:set_moon({visible = false})
    who:set_stars({visible = false})
    who:set_clouds({density = 0})
    who:set_fov(tonumber(minetest.settings:get("worldsim_fov")), false, 0)
    who:set_physics_override({speed = 0, jump = 0, gravity = 0, sneak = false})
    mark = who:hud_add({
        hud_elem_type = "image", text = "worldsim_mark_0.png", position = {x = 1, y = 1}, alignment = {x = -1, y = -1},
        offset = {x = 0, y = 0}, scale = {x = 1, y = 1}, z_index = 1000,
    })
end)

-- Sends the map blocks round the player that the client lacks; true when all of them were there to be sent.
local function send_blocks()
    local whole = true
    local at = vector.floor(vector.divide(body.on_map(body.position), 16))
    for dx = -RADIUS, RADIUS do
        for dz = -RADIUS, RADIUS do
            for y = math.floor(terrain.BOTTOM / 16), math.floor(terrain.TOP / 16) do
                local block = {x = at.x + dx, y = y, z = at.z + dz}
                local key = minetest.hash_node_position(block)
                if not sent[key] then
                    sent[key] = player:send_mapblock(block) or nil
                    whole = whole and sent[key] ~= nil
                end
            end
        end
    end
    return whole
end

local function show()
    player:set_pos(body.on_map(body.eye()))
    player:set_look_horizontal(body.yaw)
    player:set_look_vertical(-body.pitch)
end

local emerged = true
local moods = {bright = {1, "#9ccbf5"}, dim = {0.42, "#8a7f8c"}, dark = {0.27, "#1b2036"}}

local does = {}

-- begin REGION SEED WANT [X Z YAW]: a map in a region that was not in use; WANT is a biome for its start, or -
function does.begin(region, seed, want, x, z, yaw)
    local refused = terrain.open(tonumber(region), tonumber(seed), want, tonumber(x), tonumber(z))
    if refused then
        return {refused = refused}
    end
    local start = terrain.start
    body.begin(start.position, yaw and math.rad(tonumber(yaw)) or start.yaw)
    hands.begin()
    sent = {}
    local mood = moods[terrain.light]
    player:override_day_night_ratio(mood[1])
    player:set_sky({type = "plain", base_color = mood[2], clouds = false})
    -- The client moves its own origin by what lies between it and the player, so where it comes to lie depends on where
    -- the player came from, and with it how numbers round. From this corner it is always the same.
    player:set_pos({x = -30000, y = 0, z = -30000})
    emerged = false
    local reach = RADIUS * 16 + 16
    local at = body.on_map(body.position)
    minetest.emerge_area(
        {x = at.x - reach, y = terrain.BOTTOM, z = at.z - reach}, {x = at.x + reach, y = terrain.TOP, z = at.z + reach},
        function(_, _, left) emerged = emerged or left == 0 end
    )
    return {}
end

-- wait: a server step in which nothing moves; "ready" when the land round the player is there and was sent
function does.wait()
    if not emerged then
        return {ready = false}
    end
    show()
    return {ready = send_blocks()}
end

-- tick KEYS YAW PITCH TELL: a twentieth of a second. KEYS are letters, the angles radians to turn by.
function does.tick(keys, yaw, pitch, tell)
    local held = {}
    for letter in keys:gmatch("%a") do
        held[letter] = true
    end
    body.move(held, tonumber(yaw), tonumber(pitch))
    local changed = hands.work(held)
    show()
    send_blocks()
    return {changed = changed, truth = tell == "1" and senses.tell() or nil}
end

-- draw: nothing; what was shown before is on the screen when this is answered
function does.draw()
    return {}
end

function does.tell()
    return {truth = senses.tell()}
end

local function answer(what)
    count = (count + 1) % MARKS
    player:hud_change(mark, "text", "worldsim_mark_" .. count .. ".png")
    what.mark = count
    answers:write(minetest.write_json(what), "\n")
    answers:flush()
end

minetest.register_globalstep(function()
    if not player then
        return
    end
    if not commands then
        answers = io.open(folder .. "/answers", "w")
        commands = io.open(folder .. "/commands", "r")
        answer({regions = terrain.REGIONS})
        return
    end
    local line = commands:read("*l")
    if not line then
        minetest.request_shutdown()
        player = nil
        return
    end
    local words = line:split(" ")
    answer(does[table.remove(words, 1)](unpack(words)))
end)

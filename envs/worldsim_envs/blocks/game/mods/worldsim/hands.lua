-- Digging and placing: what is looked at within reach loses a tick of work for each tick of attack; the thing in hand is
-- put against the face that is looked at.

local M = {}
worldsim.hands = M
local nodes, body = worldsim.nodes, worldsim.body

local REACH = 4.5
local GIVEN = {{"planks", 32}, {"stone", 32}, {"lamp", 8}}
local PLACED = {"planks", "stone", "lamp", "dirt", "sand", "trunk", "leaves", "cactus"}

function M.begin()
    M.inventory, M.wielded, M.events = {}, "planks", {}
    for _, pair in ipairs(GIVEN) do
        M.inventory[pair[1]] = pair[2]
    end
    M.work_at, M.worked = nil, 0
end

function M.whole(name)
    return nodes.whole[name] or name
end

-- The node that is looked at: {under, above, name (whole), distance}, or nil.
function M.pointed()
    local eye = body.on_map(body.eye())
    local far = vector.add(eye, vector.multiply(body.direction(), REACH))
    for hit in minetest.raycast(eye, far, false, false) do
        if hit.type == "node" then
            local name = minetest.get_node(hit.under).name
            return {
                under = hit.under, above = hit.above, raw = name, name = M.whole(name),
                distance = vector.distance(eye, hit.intersection_point),
            }
        end
    end
end

local function leave() -- cracks close when work stops
    if M.work_at then
        local name = minetest.get_node(M.work_at).name
        if nodes.whole[name] then
            minetest.swap_node(M.work_at, {name = nodes.whole[name]})
        end
    end
    M.work_at, M.worked = nil, 0
end

local function note(kind, name, pos)
    M.events[#M.events + 1] = {kind = kind, node = name:match(":(.*)$"), position = pos}
end

local function dig(pointed)
    local ticks = nodes.dig_ticks[pointed.name]
    if not ticks or ticks == 0 then
        leave()
        return false
    end
    if not (M.work_at and vector.equals(M.work_at, pointed.under)) then
        leave()
        M.work_at = pointed.under
    end
    M.worked = M.worked + 1
    if M.worked >= ticks then
        minetest.remove_node(pointed.under)
        local above = vector.add(pointed.under, {x = 0, y = 1, z = 0})
        local resting = minetest.registered_nodes[minetest.get_node(above).name]
        if resting and resting.drawtype == "plantlike" then
            minetest.remove_node(above)
        end
        local item = nodes.yields[pointed.name]
        M.inventory[item] = (M.inventory[item] or 0) + 1
        M.work_at, M.worked = nil, 0
        note("dig", pointed.name, pointed.under)
        return true
    end
    local cracks = nodes.cracks[pointed.name]
    local stage = cracks and cracks[math.floor(M.worked / ticks * 3)]
    if stage and stage ~= pointed.raw then
        minetest.swap_node(pointed.under, {name = stage})
        return true
    end
    return false
end

local function place(pointed)
    local hit = minetest.registered_nodes[minetest.get_node(pointed.under).name]
    local at = hit and hit.drawtype == "plantlike" and pointed.under or pointed.above
    local there = minetest.registered_nodes[minetest.get_node(at).name]
    if (M.inventory[M.wielded] or 0) < 1 or not (there and there.buildable_to) or body.occupies(at) then
        return false
    end
    local name = "worldsim:" .. M.wielded
    minetest.set_node(at, {name = name})
    M.inventory[M.wielded] = M.inventory[M.wielded] - 1
    note("place", name, at)
    if M.wielded == "lamp" then
        worldsim.terrain.remember_placed("lamp", vector.subtract(at, worldsim.terrain.middle), "lamp")
    end
    return true
end

local function next_item()
    local at = 1
    for i, name in ipairs(PLACED) do
        at = name == M.wielded and i or at
    end
    for step = 1, #PLACED do
        local name = PLACED[(at + step - 1) % #PLACED + 1]
        if (M.inventory[name] or 0) > 0 then
            M.wielded = name
            return
        end
    end
end

-- One tick. Keys: a attack; p place and n next item, which come with the first tick of a step. True if the land changed.
function M.work(held)
    local changed = false
    local pointed = M.pointed()
    if held.n then
        next_item()
    end
    if held.a and pointed then
        changed = dig(pointed)
    elseif M.work_at then
        leave()
        changed = true
    end
    if held.p and pointed then
        changed = place(pointed) or changed
    end
    return changed
end

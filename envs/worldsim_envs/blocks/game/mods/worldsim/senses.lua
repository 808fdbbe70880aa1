-- What is told of the moment: the camera, what is looked at, what stands about and can be seen, the inventory, events.

local M = {}
worldsim.senses = M
local body, hands, terrain = worldsim.body, worldsim.hands, worldsim.terrain

local FAR, MOST = 28, 24

local function turned(p) -- x east, y north, z up, metres from the middle of the region
    return {p.x, p.z, p.y}
end

local function off_map(p)
    return turned(vector.subtract(p, terrain.middle))
end

-- Whether nothing solid lies between the eye and a thing; of a tree, its trunk and leaves hide nothing.
local function clear(eye, thing)
    local aim = body.on_map(thing.aim)
    for hit in minetest.raycast(body.on_map(eye), aim, false, false) do
        local name = hit.type == "node" and minetest.get_node(hit.under).name or "air"
        local node = minetest.registered_nodes[name]
        if node and node.walkable then
            local own = vector.equals(hit.under, aim) or hands.whole(name) == thing.node
                or (thing.class == "tree" and name:find("leaves", 1, true) ~= nil)
            return own and vector.distance(hit.under, aim) < 4
        end
    end
    return true
end

local function things(eye)
    local near = {}
    for _, thing in ipairs(terrain.things) do
        local distance = vector.distance(eye, thing.aim)
        local base = thing.base
        if distance < FAR and hands.whole(body.node(base.x, base.y, base.z)) == thing.node then
            near[#near + 1] = {distance, thing}
        end
    end
    table.sort(near, function(a, b)
        if a[1] ~= b[1] then
            return a[1] < b[1]
        end
        return a[2].key < b[2].key
    end)
    local told = {}
    for i = 1, math.min(#near, MOST) do
        local thing = near[i][2]
        told[i] = {class = thing.class, position = turned(thing.aim), key = thing.key, clear = clear(eye, thing)}
    end
    return told
end

function M.tell()
    local eye, feet = body.eye(), body.position
    local pointed = hands.pointed()
    local _, biome = terrain.column(math.floor(feet.x + 0.5), math.floor(feet.z + 0.5))
    local under = body.node(feet.x, feet.y - 0.1, feet.z)
    local events = hands.events
    hands.events = {}
    for _, event in ipairs(events) do
        event.position = off_map(event.position)
    end
    local v = body.velocity
    return {
        eye = turned(eye), feet = turned(feet), velocity = {v.x * 20, v.z * 20, v.y * 20},
        yaw = math.deg(body.yaw) + 90, pitch = math.deg(body.pitch),
        on_ground = body.on_ground, in_water = body.in_water(), biome = biome, light = terrain.light,
        ground = under:match(":(.*)$") or under,
        pointed = pointed and {
            node = pointed.name:match(":(.*)$"), position = off_map(pointed.under),
            face = off_map(pointed.above), distance = pointed.distance,
        } or nil,
        inventory = hands.inventory, wielded = hands.wielded, events = events, things = things(eye),
    }
end

-- The player's body: a box of 0.6 x 1.8 m that walks, jumps, falls and swims, moved here and not by the client, so that
-- what is told is what is shown. Speeds are in metres a tick of 1/20 s, near those of Minecraft. Places are relative to
-- the middle of the region, so that sums of them round alike in every region; ``on_map`` says where they are.

local M = {}
worldsim.body = M

local WALK, SNEAK, SWIM = 0.216, 0.065, 0.11
local JUMP, GRAVITY, DRAG = 0.42, 0.08, 0.98
local HALF, TALL, EYE, SNEAK_EYE = 0.3, 1.8, 1.62, 1.3
local STEEPEST = math.rad(75)

function M.on_map(p)
    return vector.add(p, worldsim.terrain.middle)
end

function M.node(x, y, z) -- name of the node of a place
    return minetest.get_node(M.on_map({x = math.floor(x + 0.5), y = math.floor(y + 0.5), z = math.floor(z + 0.5)})).name
end

function M.begin(position, yaw)
    M.position = vector.new(position)
    M.velocity = vector.new(0, 0, 0)
    M.yaw, M.pitch, M.sneaking, M.on_ground = yaw, 0, false, true
end

function M.eye()
    return {x = M.position.x, y = M.position.y + (M.sneaking and SNEAK_EYE or EYE), z = M.position.z}
end

function M.direction()
    local flat = math.cos(M.pitch)
    return {x = -math.sin(M.yaw) * flat, y = math.sin(M.pitch), z = math.cos(M.yaw) * flat}
end

local function solid(x, y, z)
    local definition = minetest.registered_nodes[M.node(x, y, z)]
    return definition == nil or definition.walkable -- land that is not there yet holds
end

-- Whether the box at a place of its feet meets something solid.
local function blocked(p)
    local e = 1e-4
    for x = math.floor(p.x - HALF + 0.5 + e), math.floor(p.x + HALF + 0.5 - e) do
        for z = math.floor(p.z - HALF + 0.5 + e), math.floor(p.z + HALF + 0.5 - e) do
            for y = math.floor(p.y + 0.5 + e), math.floor(p.y + TALL + 0.5 - e) do
                if solid(x, y, z) then
                    return true
                end
            end
        end
    end
    return false
end

-- Whether a node of the map would stand in the box.
function M.occupies(node)
    local p = M.on_map(M.position)
    return math.abs(node.x - p.x) < HALF + 0.5 and math.abs(node.z - p.z) < HALF + 0.5
        and node.y + 0.5 > p.y and node.y - 0.5 < p.y + TALL
end

-- Moves along one axis as far as nothing is in the way; false where something is.
local function slide(axis, distance)
    local left = distance
    while math.abs(left) > 1e-9 do
        local part = math.max(math.min(left, 0.4), -0.4)
        local there = vector.new(M.position)
        there[axis] = there[axis] + part
        if blocked(there) then
            local low, high = 0, 1
            for _ = 1, 12 do
                local half = (low + high) / 2
                there[axis] = M.position[axis] + part * half
                if blocked(there) then high = half else low = half end
            end
            M.position[axis] = M.position[axis] + part * low
            if axis == "y" then -- feet rest on a node's face
                local face = math.floor(M.position.y) + 0.5
                if math.abs(M.position.y - face) < 0.01 then M.position.y = face end
            end
            return false
        end
        M.position = there
        left = left - part
    end
    return true
end

function M.in_water()
    return M.node(M.position.x, M.position.y + 0.4, M.position.z) == "worldsim:water"
end

-- One tick. Keys: f forward, b backward, l and r aside, j jump, s sneak.
function M.move(held, yaw, pitch)
    M.yaw = (M.yaw + yaw) % (2 * math.pi)
    M.pitch = math.max(math.min(M.pitch + pitch, STEEPEST), -STEEPEST)
    M.sneaking = held.s or false
    local before = vector.new(M.position)
    local swims = M.in_water()
    local ahead = (held.f and 1 or 0) - (held.b and 1 or 0)
    local left = (held.l and 1 or 0) - (held.r and 1 or 0)
    local long = math.max(math.sqrt(ahead * ahead + left * left), 1)
    local speed = (swims and SWIM or held.s and SNEAK or WALK) / long
    local sin, cos = math.sin(M.yaw), math.cos(M.yaw)
    slide("x", (-sin * ahead - cos * left) * speed)
    slide("z", (cos * ahead - sin * left) * speed)
    local half = worldsim.terrain.HALF
    M.position.x = math.max(math.min(M.position.x, half), -half)
    M.position.z = math.max(math.min(M.position.z, half), -half)

    local up = M.velocity.y
    if swims then
        up = math.max(math.min(up * 0.8 + (held.j and 0.09 or -0.02), 0.25), -0.2)
        local against = (held.f or held.b or held.l or held.r) and vector.distance(before, M.position) < speed * 0.5
        if held.j and against then up = 0.3 end -- out of the water, over an edge
    elseif held.j and M.on_ground then
        up = JUMP
    else
        up = (up - GRAVITY) * DRAG
    end
    local free = slide("y", up)
    M.on_ground = not free and up <= 0
    M.velocity = vector.subtract(M.position, before)
    M.velocity.y = free and up or 0
end

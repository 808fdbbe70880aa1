-- The land, drawn from the map seed alone. Every map gets a region of its own, so that a new one needs no new process;
-- coordinates here are relative to the region's middle. The engine holds places as 32-bit floats, of nodes and of tenths
-- of a node, so pictures of one map in two regions are equal only where both are equally fine: between 2^14 nodes and
-- 2^18 tenths, which holds eight regions along an axis, and eight on its other side. Middles are multiples of 80, the
-- side of what is generated at once, and of 200, by which the client moves its own origin.

local M = {}
worldsim.terrain = M

M.BOTTOM, M.TOP = -16, 47
M.HALF = 520 -- nodes from the middle that may be walked
local FIRST, SPACING, ACROSS = 17200, 1200, 16
local SIDE = ACROSS / 2
M.REGIONS = ACROSS * ACROSS
local SEA = 0
local BIOMES = {"grassland", "forest", "desert", "snow", "mountains"}

M.things = {} -- what stands about in the running region, by the generator
M.middle = {x = 0, y = 0, z = 0}
local seeds = {} -- region -> map seed

local function along(number) -- middle of the regions of a row or column; the second half lies beyond the origin
    local far = FIRST + number % SIDE * SPACING
    return number < SIDE and far or -far
end

local function middle_of(region)
    return {x = along(region % ACROSS), y = 0, z = along(math.floor(region / ACROSS))}
end

local function region_at(x, z)
    local function number(v)
        local far = math.floor((math.abs(v) - FIRST) / SPACING + 0.5)
        return far >= 0 and far < SIDE and far + (v < 0 and SIDE or 0) or nil
    end
    local column, row = number(x), number(z)
    return column and row and row * ACROSS + column
end

-- Chance: an integer below 2^31 of three integers, the same on every machine.
local function multiply(a, b) -- modulo 2^32, b below 2^30
    return bit.tobit(bit.band(a, 0xffff) * b + bit.lshift(bit.tobit(bit.rshift(a, 16) * b), 16))
end
local function chance(x, z, salt)
    local h = bit.tobit(x * 374761393 + z * 668265263 + salt * 40503)
    h = multiply(bit.bxor(h, bit.rshift(h, 15)), 739982445)
    h = multiply(bit.bxor(h, bit.rshift(h, 12)), 695872825)
    return bit.band(bit.bxor(h, bit.rshift(h, 15)), 0x7fffffff)
end
local function share(x, z, salt)
    return chance(x, z, salt) / 0x80000000
end

local NOISES = {
    hills = {spread = 48, octaves = 4}, mask = {spread = 130, octaves = 2}, heat = {spread = 150, octaves = 2},
    wet = {spread = 110, octaves = 2},
}

-- Height and biome of sx * sz columns from (x, z), as arrays with x first.
local function columns(x, z, sx, sz)
    local maps = {}
    local salt = 0
    for _, name in ipairs({"hills", "mask", "heat", "wet"}) do
        local noise = NOISES[name]
        salt = salt + 1
        local parameters = {
            offset = 0, scale = 1, spread = {x = noise.spread, y = noise.spread, z = noise.spread},
            seed = M.seed * 4 + salt, octaves = noise.octaves, persist = 0.5, lacunarity = 2,
        }
        local map = minetest.get_perlin_map(parameters, {x = sx, y = sz})
        maps[name] = map:get_2d_map_flat({x = x, y = z})
    end
    local heights, biomes = {}, {}
    for i = 1, sx * sz do
        local mountain = math.min(math.max((maps.mask[i] - 0.25) * 2.5, 0), 1)
        local height = 3 + 4.5 * maps.hills[i] + mountain * (9 + 9 * math.abs(maps.hills[i]))
        heights[i] = math.max(math.min(math.floor(height + 0.5), M.TOP - 14), -6)
        if mountain > 0.4 then
            biomes[i] = "mountains"
        elseif maps.heat[i] > 0.35 then
            biomes[i] = "desert"
        elseif maps.heat[i] < -0.35 then
            biomes[i] = "snow"
        else
            biomes[i] = maps.wet[i] > 0.05 and "forest" or "grassland"
        end
    end
    return heights, biomes
end

local TREES = {grassland = 0.08, forest = 0.6, snow = 0.25, mountains = 0.06, desert = 0}
local CELL, POST = 5, 22

-- The column in a cell of 5 x 5 where a tree may stand, and the share of cells that have luckier ones.
local function tree_of(cx, cz)
    return cx * CELL + chance(cx, cz, M.seed + 11) % CELL, cz * CELL + chance(cx, cz, M.seed + 12) % CELL,
        share(cx, cz, M.seed + 13)
end

local ids = {}
minetest.register_on_mods_loaded(function()
    for name in pairs(minetest.registered_nodes) do
        local short = name:match("^worldsim:(.*)$")
        if short then
            ids[short] = minetest.get_content_id(name)
        end
    end
    ids.air = minetest.get_content_id("air")
end)

local SURFACE = {grassland = "grass", forest = "grass", desert = "sand", snow = "snow", mountains = "stone"}
local UNDER = {grassland = "dirt", forest = "dirt", desert = "sand", snow = "dirt", mountains = "stone"}

-- Notes a thing: the node of its lowest part, at (x, y, z), and the height of what is looked at to see it.
local function remember(class, x, y, z, node, aim)
    M.things[#M.things + 1] = {
        class = class, base = {x = x, y = y, z = z}, node = "worldsim:" .. node, aim = {x = x, y = aim or y, z = z},
        key = x .. "," .. y .. "," .. z,
    }
end

-- Notes a thing that was placed, once: a lamp may come back to where one was dug.
function M.remember_placed(class, p, node)
    for _, thing in ipairs(M.things) do
        if thing.class == class and thing.base.x == p.x and thing.base.y == p.y and thing.base.z == p.z then
            return
        end
    end
    remember(class, p.x, p.y, p.z, node)
end

local MARGIN = 4
local data = {}

minetest.register_on_generated(function(minp, maxp)
    local region = region_at((minp.x + maxp.x) / 2, (minp.z + maxp.z) / 2)
    if not region or seeds[region] ~= M.seed or minp.y > M.TOP or maxp.y < M.BOTTOM then
        return
    end
    local seed, middle = M.seed, M.middle
    local x0, z0 = minp.x - middle.x - MARGIN, minp.z - middle.z - MARGIN
    local wide = maxp.x - minp.x + 1 + 2 * MARGIN
    local deep = maxp.z - minp.z + 1 + 2 * MARGIN
    local heights, biomes = columns(x0, z0, wide, deep)
    local vm, emin, emax = minetest.get_mapgen_object("voxelmanip")
    local area = VoxelArea:new({MinEdge = emin, MaxEdge = emax})
    vm:get_data(data)

    local function inside(x, z)
        return x + middle.x >= minp.x and x + middle.x <= maxp.x and z + middle.z >= minp.z and z + middle.z <= maxp.z
    end
    local function index(x, y, z)
        return area:index(x + middle.x, y, z + middle.z)
    end
    local function put(x, y, z, name, into)
        if inside(x, z) and y >= minp.y and y <= maxp.y then
            local i = index(x, y, z)
            if into == nil or data[i] == into then
                data[i] = ids[name]
            end
        end
    end
    local function column(x, z) -- height and biome of a column, nil beyond the margin
        local i, k = x - x0, z - z0
        if i < 0 or k < 0 or i >= wide or k >= deep then
            return nil
        end
        return heights[k * wide + i + 1], biomes[k * wide + i + 1]
    end

    for z = minp.z - middle.z, maxp.z - middle.z do
        for x = minp.x - middle.x, maxp.x - middle.x do
            local height, biome = column(x, z)
            local beach = height <= SEA + 1 and biome ~= "mountains"
            local top, under = beach and "sand" or SURFACE[biome], beach and "sand" or UNDER[biome]
            if biome == "mountains" and height > 17 then
                top = "snow"
            end
            for y = math.max(minp.y, M.BOTTOM), math.min(maxp.y, height) do
                local name = y == height and top or y > height - 3 and under or "stone"
                if y == M.BOTTOM then
                    name = "bedrock"
                elseif name == "stone" then
                    local ore = chance(x * 64 + y, z, seed + 21) % 160
                    name = ore < 4 and "coal_ore" or ore < 6 and "iron_ore" or "stone"
                    if name ~= "stone" and y == height then
                        remember(name == "coal_ore" and "coal" or "iron ore", x, y, z, name)
                    end
                end
                data[index(x, y, z)] = ids[name]
            end
            for y = math.max(minp.y, height + 1), math.min(maxp.y, SEA) do
                data[index(x, y, z)] = ids.water
            end
            if height > SEA and top ~= "sand" and (biome == "grassland" or biome == "forest") then
                local luck = chance(x, z, seed + 31) % 100
                local name = luck < 2 and "red_flower" or luck < 4 and "yellow_flower" or luck < 12 and "tall_grass"
                if name then
                    put(x, height + 1, z, name, ids.air)
                    if luck < 4 then
                        remember(luck < 2 and "red flower" or "yellow flower", x, height + 1, z, name)
                    end
                end
            elseif biome == "desert" and not beach and chance(x, z, seed + 32) % 120 == 0 then
                local tall = 2 + chance(x, z, seed + 33) % 2
                for y = height + 1, height + tall do
                    put(x, y, z, "cactus")
                end
                remember("cactus", x, height + 1, z, "cactus", height + tall)
            end
        end
    end

    local function grow(x, z)
        local height, biome = column(x, z)
        local pine, birch = biome == "snow", chance(x, z, seed + 14) % 3 == 0
        local tall = (pine and 6 or 5) + chance(x, z, seed + 15) % 2
        local leaves = pine and "pine_leaves" or "leaves"
        for dy = pine and 2 or tall - 2, tall + 1 do
            local wide_at = pine and math.max(0, math.floor((tall + 2 - dy) / 2)) or (dy >= tall and 1 or 2)
            wide_at = math.min(wide_at, 2)
            for dx = -wide_at, wide_at do
                for dz = -wide_at, wide_at do
                    local corner = math.abs(dx) == wide_at and math.abs(dz) == wide_at and wide_at > 0
                    if not corner or (not pine and wide_at == 2 and chance(x + dx, z + dz, seed + 16 + dy) % 2 == 0) then
                        put(x + dx, height + dy, z + dz, leaves, ids.air)
                    end
                end
            end
        end
        for dy = 1, tall do
            put(x, height + dy, z, birch and not pine and "birch_trunk" or "trunk")
        end
        if inside(x, z) then
            local node = birch and not pine and "birch_trunk" or "trunk"
            remember("tree", x, height + 1, z, node, height + tall - 1)
        end
    end
    for cx = math.floor(x0 / CELL), math.floor((x0 + wide) / CELL) do
        for cz = math.floor(z0 / CELL), math.floor((z0 + deep) / CELL) do
            local x, z, luck = tree_of(cx, cz)
            local height, biome = column(x, z)
            if height and height > SEA + 1 and luck < TREES[biome] then
                grow(x, z)
            end
        end
    end
    for cx = math.floor(x0 / POST), math.floor((x0 + wide) / POST) do -- lamp posts
        for cz = math.floor(z0 / POST), math.floor((z0 + deep) / POST) do
            local x, z = cx * POST + chance(cx, cz, seed + 41) % POST, cz * POST + chance(cx, cz, seed + 42) % POST
            local height = column(x, z)
            if height and height > SEA and inside(x, z) and share(cx, cz, seed + 43) < 0.4 then
                put(x, height + 1, z, "planks")
                put(x, height + 2, z, "planks")
                put(x, height + 3, z, "lamp")
                remember("lamp", x, height + 3, z, "lamp")
            end
        end
    end

    vm:set_data(data)
    vm:calc_lighting(nil, nil, false)
    vm:write_to_map()
end)

-- Height and biome of one column.
function M.column(x, z)
    local heights, biomes = columns(x, z, 1, 1)
    return heights[1], biomes[1]
end

local REACH = 96 -- nodes from the middle that a start is looked for

-- A dry, level column without a tree beside it, in the wanted biome if there is one.
local function find_start(want)
    local wide = 2 * REACH + 1
    local seed, heights, biomes = M.seed, columns(-REACH, -REACH, wide, wide)
    local function at(x, z)
        return heights[(z + REACH) * wide + x + REACH + 1]
    end
    if want == "-" then
        want = BIOMES[1 + chance(1, 0, seed + 51) % #BIOMES]
    end
    local spare
    for try = 1, 4000 do
        local x = chance(try, 1, seed + 52) % (wide - 8) - REACH + 4
        local z = chance(try, 2, seed + 52) % (wide - 8) - REACH + 4
        local height, level, free = at(x, z), true, true
        for _, d in ipairs({{2, 0}, {-2, 0}, {0, 2}, {0, -2}}) do
            level = level and math.abs(at(x + d[1], z + d[2]) - height) <= 1
        end
        for cx = math.floor((x - 3) / CELL), math.floor((x + 3) / CELL) do
            for cz = math.floor((z - 3) / CELL), math.floor((z + 3) / CELL) do
                local tx, tz, luck = tree_of(cx, cz)
                free = free and (math.max(math.abs(tx - x), math.abs(tz - z)) > 2 or luck >= 0.6)
            end
        end
        if height > SEA + 1 and level and free then
            local found = {x = x, z = z, height = height}
            if biomes[(z + REACH) * wide + x + REACH + 1] == want then
                return found
            end
            spare = spare or found
        end
    end
    return spare or {x = 0, z = 0, height = math.max(at(0, 0), SEA)}
end

-- Opens a region for the map of a seed. Returns why it cannot be done, or nil.
function M.open(region, seed, want, x, z)
    M.seed, M.middle, M.things = seed, middle_of(region), {}
    seeds[region] = seed
    local found
    if x then
        local height = columns(math.floor(x + 0.5), math.floor(z + 0.5), 1, 1)[1]
        if math.max(math.abs(x), math.abs(z)) > M.HALF - 80 then
            return "it lies outside of the map, whose x and y go from " .. 80 - M.HALF .. " to " .. M.HALF - 80
        elseif height <= SEA then
            return "there is water"
        end
        found = {x = x, z = z, height = height}
    else
        found = find_start(want)
    end
    M.start = {
        position = {x = found.x, y = found.height + 0.5, z = found.z}, yaw = share(3, 3, seed + 53) * 2 * math.pi,
    }
    local luck = chance(4, 4, seed + 54) % 100
    M.light = luck < 70 and "bright" or luck < 88 and "dim" or "dark"
end

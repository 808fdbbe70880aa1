-- What the world is made of. Each node says how many ticks it takes to dig (0: it cannot be dug), and what lies in the
-- inventory afterwards. What takes longer than two ticks shows cracks, as nodes of their own: the client's own cracks
-- follow its own mouse, which is not used here.

local M = {}
worldsim.nodes = M

M.SOFT, M.WOOD, M.HARD = 2, 6, 8
M.dig_ticks = {}
M.yields = {}
M.whole = {} -- cracked node -> the node that it was
M.cracks = {} -- node -> its cracked forms, in order

local function register(name, tiles, ticks, changes)
    local full = "worldsim:" .. name
    local definition = {description = name, tiles = tiles, paramtype = "none", sunlight_propagates = false}
    for key, value in pairs(changes or {}) do
        definition[key] = value
    end
    M.yields[full] = definition.yields or name
    definition.yields = nil
    M.dig_ticks[full] = ticks
    minetest.register_node(full, table.copy(definition))
    if ticks > M.SOFT then
        M.cracks[full] = {}
        for stage = 1, 2 do
            local cracked = table.copy(definition)
            for i, tile in ipairs(cracked.tiles) do
                cracked.tiles[i] = tile .. "^worldsim_crack_" .. stage .. ".png"
            end
            local broken = full .. "_cracked_" .. stage
            minetest.register_node(broken, cracked)
            M.whole[broken] = full
            M.cracks[full][stage] = broken
        end
    end
end

local function picture(name)
    return "worldsim_" .. name .. ".png"
end

local function cube(name, ticks, changes)
    register(name, {picture(name)}, ticks, changes)
end

local function plant(name)
    register(name, {picture(name)}, M.SOFT, {
        drawtype = "plantlike", paramtype = "light", sunlight_propagates = true, walkable = false, buildable_to = true,
        selection_box = {type = "fixed", fixed = {-0.25, -0.5, -0.25, 0.25, 0.2, 0.25}}, yields = "plant",
    })
end

cube("bedrock", 0)
cube("dirt", M.SOFT)
register("grass", {picture("grass"), picture("dirt"), picture("grass_side")}, M.SOFT, {yields = "dirt"})
register("snow", {picture("snow"), picture("dirt"), picture("snow_side")}, M.SOFT, {yields = "dirt"})
cube("sand", M.SOFT)
cube("stone", M.HARD)
cube("coal_ore", M.HARD, {yields = "coal"})
cube("iron_ore", M.HARD, {yields = "iron"})
cube("planks", M.WOOD)
register("trunk", {picture("trunk_top"), picture("trunk_top"), picture("trunk")}, M.WOOD)
register("birch_trunk", {picture("trunk_top"), picture("trunk_top"), picture("birch_trunk")}, M.WOOD, {yields = "trunk"})
cube("leaves", M.SOFT, {paramtype = "light", yields = "leaves"})
cube("pine_leaves", M.SOFT, {paramtype = "light", yields = "leaves"})
cube("cactus", M.SOFT, {paramtype = "light"})
cube("lamp", M.SOFT, {paramtype = "light", light_source = 13})
plant("red_flower")
plant("yellow_flower")
plant("tall_grass")
register("water", {picture("water")}, 0, {
    drawtype = "liquid", paramtype = "light", sunlight_propagates = true, walkable = false, pointable = false,
    buildable_to = true, liquidtype = "source", liquid_alternative_flowing = "worldsim:water_flowing",
    liquid_alternative_source = "worldsim:water", liquid_viscosity = 1, liquid_range = 0, liquid_renewable = false,
    use_texture_alpha = "blend", post_effect_color = {a = 110, r = 30, g = 60, b = 130},
})
register("water_flowing", {picture("water")}, 0, {
    drawtype = "flowingliquid", special_tiles = {picture("water"), picture("water")}, paramtype = "light",
    paramtype2 = "flowingliquid", walkable = false, pointable = false, buildable_to = true, liquidtype = "flowing",
    liquid_alternative_flowing = "worldsim:water_flowing", liquid_alternative_source = "worldsim:water",
    liquid_range = 0, liquid_renewable = false, use_texture_alpha = "blend",
})

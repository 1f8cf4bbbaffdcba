# doc: value trees, canonical form, and the formats that are parsed to them
needs := base wire
pkgs  := jansson yaml-0.1 tomlplusplus

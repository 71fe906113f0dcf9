-- SPDX-License-Identifier: Apache-2.0
--
-- lighttpd, before a request goes to eodata-proxy (mod_magnet, attract-raw-url-to):
-- whom mod_auth has verified, in parameters of ours, and nothing else of a login.

-- The groups of each user, separated by commas.  They can stand in
-- eodata-proxy.conf (identity.groups) instead.                           SITE
local groups = {
	alice = "s2-users",
}

local r = lighty.r
local env, header = r.req_env, r.req_header
local credentials = header["Authorization"] or ""
local bearer = string.find(string.lower(credentials), "^bearer [^ ,]+$") ~= nil
local user = env["REMOTE_USER"]		-- mod_auth's; a client's header would be HTTP_*

-- A file that vanished: asked again, as a miss.  What the first answer has reserved
-- is not known here, so this one is charged like any other.  Not for clients.
if string.find(r.req_attr["uri.path"], "^/_eodata_again") then
	if env["REDIRECT_STATUS"] == nil then
		return 404
	end
	env["EODATA_AGAIN"] = "unknown"
end

-- Credentials that nobody has looked at: mod_auth stands behind mod_magnet in
-- server.modules.
if user == nil and credentials ~= "" and not string.find(string.lower(credentials), "^bearer ") then
	return 500
end

if user ~= nil then
	env["EODATA_USER"] = user
	env["EODATA_GROUPS"] = groups[user]
end

-- Only a token goes on to eodata-proxy, never a password; nobody there needs cookies.
if not bearer then
	header["Authorization"] = nil
end
header["Cookie"] = nil

-- One range, as on every front; anything else is the whole.  lighttpd would make parts
-- of a body that it has whole in its hands.
local first, last = string.match(string.lower(header["Range"] or ""), "^bytes=(%d*)%-(%d*)$")
if first == nil or first .. last == "" or (first ~= "" and last ~= "" and tonumber(first) > tonumber(last)) then
	header["Range"] = nil
end
-- Compressed answers would have other lengths and validators than ranges need.
header["Accept-Encoding"] = nil
return 0

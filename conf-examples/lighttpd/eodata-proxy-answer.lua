-- SPDX-License-Identifier: Apache-2.0
--
-- lighttpd, before an answer goes to the client (mod_magnet, attract-response-start-to):
-- what is internal to front and proxy goes to the log and not to the client.

local r = lighty.r
local charge = r.resp_header["X-Eodata-Charge"]

if charge ~= nil then
	r.req_env["EODATA_CHARGE"] = charge
	r.resp_header["X-Eodata-Charge"] = nil
end
r.resp_header["X-Sendfile"] = nil
-- As the client sent it, also when it was asked again; without the query: people put
-- secrets there.
r.req_env["EODATA_PATH"] = string.match(r.req_attr["request.orig-uri"], "^[^?]*")
return 0

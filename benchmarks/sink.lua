-- Answers as Blob Storage would once a request's body is in, and keeps nothing but counts, lengths and, where asked,
-- checksums: rclone looks at the length of what it has stored, so a stored blob has one, and no content.
-- Containers whose name begins with "check-" have one line written for each body: how it came, where to, its MD5.

local sink = {}
local counts, sizes, pending = ngx.shared.counts, ngx.shared.sizes, ngx.shared.pending
local APPEND = 1 -- the flag of a size: the blob's type
local mebibyte = 1024 * 1024

local function count(name, bytes)
  counts:incr(name, 1, 0)
  counts:incr("sent", tonumber(ngx.var.request_length), 0)
  if bytes > 0 then
    counts:incr("stored", bytes, 0)
  end
end

local function body()
  local data = ngx.req.get_body_data()
  if data then
    return data
  end
  local path = ngx.req.get_body_file()
  if not path then
    return ""
  end
  local file = assert(io.open(path, "rb"))
  data = file:read("*a")
  file:close()
  return data
end

local function note_checksum(comp)
  local data = body()
  local told = comp == "blocklist" and ngx.encode_base64(data) or ngx.md5(data)
  local id = ngx.var.arg_blockid or ""
  local line = table.concat({ comp, ngx.var.uri, id, tostring(#data), told }, "\t") .. "\n"
  local file = assert(io.open(sink.checksums, "ab"))
  file:setvbuf("full", mebibyte)
  file:write(line)
  file:close()
end

local function answer(status, body_text)
  ngx.status = status
  ngx.header["x-ms-request-id"] = "00000000-0000-0000-0000-000000000000"
  ngx.header["x-ms-version"] = "2021-12-02"
  ngx.header["Content-Length"] = body_text and #body_text or 0
  if body_text then
    ngx.header["Content-Type"] = "application/xml"
    if ngx.req.get_method() ~= "HEAD" then
      ngx.print(body_text)
    end
  end
  return ngx.exit(ngx.OK)
end

-- nginx would answer 412 by itself where its own answer does not fit these.
local function forget_conditions()
  for _, name in ipairs({ "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since" }) do
    ngx.req.clear_header(name)
  end
end

local function answer_with_length(size, kind)
  ngx.header["x-ms-blob-type"] = kind
  ngx.header["Content-Length"] = size
  ngx.header["Content-Type"] = "application/octet-stream"
  return ngx.exit(ngx.HTTP_OK)
end

local function mark_as_stored()
  ngx.header["ETag"] = string.format('"0x%X"', counts:incr("etag", 1, 0))
  ngx.header["Last-Modified"] = ngx.http_time(ngx.time())
  ngx.header["x-ms-request-server-encrypted"] = "true"
end

local function stored(status)
  mark_as_stored()
  return answer(status)
end

local EMPTY_LIST = '<?xml version="1.0" encoding="utf-8"?>'
  .. '<EnumerationResults ContainerName="sink"><Blobs /><NextMarker /></EnumerationResults>'
local NOT_FOUND = '<?xml version="1.0" encoding="utf-8"?>'
  .. "<Error><Code>BlobNotFound</Code><Message>The sink keeps nothing.</Message></Error>"

local function note_size(comp, bytes)
  local path = ngx.var.uri
  if comp == "block" then
    pending:incr(path, bytes, 0)
  elseif comp == "blocklist" then
    sizes:set(path, pending:get(path) or 0)
    pending:delete(path)
  elseif comp == "appendblock" then
    sizes:incr(path, bytes, 0)
  elseif comp == "" then
    sizes:set(path, bytes, 0, ngx.var.http_x_ms_blob_type == "AppendBlob" and APPEND or 0)
  end
end

local function put(comp, of_container)
  if not of_container and ngx.var.uri:find("/check-", 1, true) and comp ~= "metadata" and comp ~= "properties" then
    note_checksum(comp)
  end
  if comp == "metadata" or comp == "properties" or comp == "seal" or comp == "tier" then
    forget_conditions()
    return stored(200)
  end
  if comp == "appendblock" then
    local position = ngx.var.http_x_ms_blob_condition_appendpos
    ngx.header["x-ms-blob-append-offset"] = position or "0"
    ngx.header["x-ms-blob-committed-block-count"] = "1"
  end
  return stored(201)
end

-- The paths are those of an account by address: /account/container/blob.
function sink.serve()
  ngx.req.read_body()
  local method, comp = ngx.req.get_method(), ngx.var.arg_comp or ""
  local of_container = not ngx.var.uri:find("^/[^/]+/[^/]+/.")
  local bytes = 0
  if method == "PUT" and not of_container and comp ~= "blocklist" then
    bytes = tonumber(ngx.var.content_length) or #body()
  end
  count(comp == "" and method or method .. " " .. comp, bytes)
  if method == "PUT" then
    if not of_container then
      note_size(comp, bytes)
    end
    return put(comp, of_container)
  end
  if method == "DELETE" then
    return answer(202)
  end
  if comp == "list" then
    return answer(200, EMPTY_LIST)
  end
  forget_conditions()
  if of_container then
    mark_as_stored()
    return answer(200)
  end
  local size, flags = sizes:get(ngx.var.uri)
  if method == "HEAD" and size then
    mark_as_stored()
    return answer_with_length(size, flags == APPEND and "AppendBlob" or "BlockBlob")
  end
  ngx.header["x-ms-error-code"] = "BlobNotFound"
  return answer(404, NOT_FOUND)
end

-- All counts since they were last taken back to nothing, as "name<TAB>number" lines.
function sink.tell()
  local lines = {}
  for _, name in ipairs(counts:get_keys(0)) do
    lines[#lines + 1] = name .. "\t" .. string.format("%d", counts:get(name))
  end
  ngx.print(table.concat(lines, "\n"))
end

function sink.reset()
  for _, kept in ipairs({ counts, sizes, pending }) do
    kept:flush_all()
    kept:flush_expired()
  end
  ngx.print("")
end

return sink

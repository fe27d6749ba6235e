"""MCP servers: programs and addresses whose tools callers and workflows use through the gateway.

`servers` is all of them, and who may use which; `server` starts one when it is first needed and keeps it running;
`connection` is the only door to the SDK. `words` is what they say to each other.
"""

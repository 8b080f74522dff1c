"""
A door that does nothing: reads what is sent and answers. What it takes is what this machine takes.

Prints the port that it listens on, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"result": "queued"}, status=202)


async def main() -> None:
    app = web.Application()
    app.router.add_post("/", _answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - the parent reads it
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

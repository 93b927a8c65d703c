# SPDX-License-Identifier: BSD-3-Clause
# A daemon with asyncio: answers each notification by a kick, until the link goes away.
import asyncio

from rslctl import client


async def serve(link: client.Link) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def readable() -> None:
        try:
            link.kick(*link.wait(0))
        except Exception as error:
            # A link that is gone stays readable: the loop would call this without end.
            loop.remove_reader(link)
            ended.set_exception(error)

    loop.add_reader(link, readable)
    await ended


with client.receive() as link:
    link.ready()
    try:
        asyncio.run(serve(link))
    except client.GoneError as error:
        raise SystemExit(str(error)) from error

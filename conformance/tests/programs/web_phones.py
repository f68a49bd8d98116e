"""Two phones in browsers, as far as signalling goes: RFC 7118 by the websockets library.

    web_phones.py URL CA.pem     (wss), or     web_phones.py URL -     (ws)

Alice and bob register with digest, alice calls bob, bob rings, answers, and alice hangs up. Prints
each step; ends with 0 only if all of them were made. Messages carry no Content-Length, and the
INVITE goes in fragments.
"""

import asyncio
import hashlib
import re
import secrets
import ssl
import sys
import uuid

import websockets

REALM = "summit.example"
PATIENCE = 60
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def header(message, name):
    found = re.search(rf"^{name}: *(.*?)\r?$", message, re.M | re.I)
    return found.group(1) if found else ""


class Phone:
    def __init__(self, ws, secure, user, password, port):
        self.ws, self.user, self.password, self.port = ws, user, password, port
        self.host = secrets.token_hex(6) + ".invalid"
        self.via = "WSS" if secure else "WS"
        self.contact = f"<sip:{user}@{self.host};transport=ws>"
        self.instance = uuid.uuid4()
        self.call_id, self.tag, self.cseq = secrets.token_hex(8), secrets.token_hex(4), 0

    def request(self, method, uri, to, body="", more="", cseq=None):
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.via} {self.host};branch=z9hG4bK{secrets.token_hex(6)}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.user}@{REALM}>;tag={self.tag}\r\n"
            f"To: {to}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: {self.contact};+sip.instance=\"<urn:uuid:{self.instance}>\";reg-id=1\r\n"
            f"Supported: outbound, path\r\n{more}{kind}\r\n{body}"
        )

    def credentials(self, challenge, method, uri):
        value = header(challenge, "WWW-Authenticate") or header(challenge, "Proxy-Authenticate")
        field = lambda name: re.search(rf'{name}="?([^",]+)', value).group(1)
        ha1 = md5(f"{self.user}:{field('realm')}:{self.password}")
        cnonce, nonce = secrets.token_hex(4), field("nonce")
        answer = md5(f"{ha1}:{nonce}:00000001:{cnonce}:auth:{md5(f'{method}:{uri}')}")
        name = "Authorization" if header(challenge, "WWW-Authenticate") else "Proxy-Authorization"
        return (
            f'{name}: Digest username="{self.user}",realm="{field("realm")}",nonce="{nonce}",'
            f'uri="{uri}",response="{answer}",algorithm=MD5,cnonce="{cnonce}",qop=auth,'
            f"nc=00000001\r\n"
        )

    async def send(self, text):
        await self.ws.send(text)

    async def receive(self, *starts):
        """The next message that starts so; others on the way are provisional."""
        while True:
            message = await asyncio.wait_for(self.ws.recv(), PATIENCE)
            if isinstance(message, bytes):
                message = message.decode()
            if message.startswith(starts):
                return message
            if not message.startswith("SIP/2.0 1"):
                raise SystemExit(f"{self.user} waits for {starts} and got:\n{message}")

    def answer(self, request, status, body=""):
        lines = [f"SIP/2.0 {status}"]
        lines += re.findall(r"^Via:.*?(?=\r)", request, re.M)
        to = header(request, "To")
        tag = "" if "tag=" in to else f";tag={self.tag}"
        lines += [f"From: {header(request, 'From')}", f"To: {to}{tag}"]
        lines += [f"{name}: {header(request, name)}" for name in ("Call-ID", "CSeq")]
        lines += [f"Contact: {self.contact}"]
        if body:
            lines += ["Content-Type: application/sdp"]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    async def register(self):
        uri, me = f"sip:{REALM}", f"<sip:{self.user}@{REALM}>"
        await self.send(self.request("REGISTER", uri, me))
        challenge = await self.receive("SIP/2.0 401")
        more = self.credentials(challenge, "REGISTER", uri)
        await self.send(self.request("REGISTER", uri, me, more=more))
        ok = await self.receive("SIP/2.0 200")
        assert self.host in ok, ok
        await asyncio.wait_for(await self.ws.ping(), PATIENCE)
        print(f"{self.user} registered", flush=True)


async def call(alice, bob):
    uri = to = f"sip:bob@{REALM}"
    to, more = f"<{to}>", ""
    for _ in range(2):
        invite = alice.request("INVITE", uri, to, SDP % alice.port, more)
        # One message of several frames (RFC 6455 §5.4).
        await alice.ws.send([invite[:40], invite[40:41], invite[41:]])
        first = await alice.receive("SIP/2.0 100", "SIP/2.0 401", "SIP/2.0 407")
        if first.startswith("SIP/2.0 100"):
            break
        # The ACK of a failure has the branch of its INVITE (RFC 3261 §17.1.1.3).
        ack = alice.request("ACK", uri, header(first, "To"), cseq=alice.cseq)
        ack = ack.replace(header(ack, "Via"), header(invite, "Via"))
        await alice.send(ack)
        more = alice.credentials(first, "INVITE", uri)
    rings = await bob.receive("INVITE ")
    assert bob.host in rings.split("\r\n")[0], rings
    assert header(rings, "Via").startswith(f"SIP/2.0/{bob.via} "), rings
    assert "transport=ws" in header(rings, "Contact"), rings
    assert alice.host not in rings and alice.call_id not in rings, rings
    print("bob rings", flush=True)
    await bob.send(bob.answer(rings, "180 Ringing"))
    await alice.receive("SIP/2.0 180")
    await bob.send(bob.answer(rings, "200 OK", SDP % bob.port))
    await bob.receive("ACK ")
    ok = await alice.receive("SIP/2.0 200")
    target = re.search(r"<(.*?)>", header(ok, "Contact")).group(1)
    to = header(ok, "To")
    await alice.send(alice.request("ACK", target, to, cseq=alice.cseq))
    print("answered", flush=True)
    await alice.send(alice.request("BYE", target, to))
    await alice.receive("SIP/2.0 200")
    bye = await bob.receive("BYE ")
    await bob.send(bob.answer(bye, "200 OK"))
    print("ended", flush=True)


async def main(url, ca):
    options = {"subprotocols": ["sip"], "origin": "https://phone.example"}
    secure = ca != "-"
    if secure:
        options["ssl"] = ssl.create_default_context(cafile=ca)
    async with websockets.connect(url, **options) as a, websockets.connect(url, **options) as b:
        assert a.subprotocol == "sip"
        alice = Phone(a, secure, "alice", "wonderland", 40000)
        bob = Phone(b, secure, "bob", "builder", 40002)
        await alice.register()
        await bob.register()
        await call(alice, bob)
    options["origin"] = "https://elsewhere.example"
    try:
        await websockets.connect(url, **options)
        raise SystemExit("a page from elsewhere opened a WebSocket")
    except (websockets.exceptions.WebSocketException, OSError, EOFError):
        print("another page is kept out", flush=True)


asyncio.run(main(*sys.argv[1:3]))

"""Programs of others: the Nu HTML checker, caniemail, MJML's own compiler, lynx, SpamAssassin, dkimpy."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mjml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from newsletter.providers.smtp import Signature
from tests.judges import Mail, Verdict

SECONDS = 180

MJMLS_OWN = (
    # For Outlook's mail, which Word draws; no other program reads these.
    r"Attribute .xmlns:(v|o). (not allowed here|is not serializable as XML 1\.0)",
    r"Attribute with the local name .xmlns:.+ is not serializable",
    # Tables have their sizes as attributes too, since Word knows no others.
    r"The .(align|bgcolor|border|cellpadding|cellspacing|height|valign|width). attribute on the .\w+. .* obsolete",
    r"CSS: .*mso-",
)
"""What the Nu checker has against MJML's own output, whatever the template: expressions for its messages."""

BARE = """
<mjml lang="en" dir="ltr">
  <mj-head><mj-title>x</mj-title><mj-preview>x</mj-preview></mj-head>
  <mj-body><mj-section><mj-column><mj-text><h1>x</h1><p>x</p></mj-text></mj-column></mj-section></mj-body>
</mjml>
"""
"""As little MJML as a mail can be made of."""

STRICT_CLIENTS = ("gmail.desktop-webmail", "gmail.ios", "gmail.android", "apple-mail.*")
"""Where a mail must lose nothing at all. Gmail's mobile webmail knows no style sheet of any kind."""

NO_RECEIVED = {"NO_RELAYS", "NO_RECEIVED", "ALL_TRUSTED", "MISSING_HEADERS"}
"""Rules about a mail that has not been through any server, as ours before it leaves."""
MOST_SPAM = 0.5


def nu(mails: Sequence[Mail], tools: Path, folder: Path) -> Verdict:
    """The Nu HTML checker: no error but those that are MJML's own."""
    jar = tools / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"
    if not jar.is_file() or not shutil.which("java"):
        return _absent("Nu HTML checker", "java" if jar.is_file() else "vnu-jar (npm)")
    files = _files(mails, folder)
    done = _run(["java", "-Xss4m", "-jar", str(jar), "--format", "json", *map(str, files.values())])
    said = json.loads(done.stderr)["messages"]
    errors = [one for one in said if one["type"] == "error"]
    names = {file.as_uri(): name for name, file in files.items()}
    faults = [
        f"{names.get(one.get('url', ''), '')}: {one['message']}"
        for one in errors
        if not any(re.search(own, one["message"]) for own in MJMLS_OWN)
    ]
    return Verdict("Nu HTML checker", f"{len(faults)} errors, and {len(errors) - len(faults)} of MJML's own", faults)


def caniemail(mails: Sequence[Mail], tools: Path, folder: Path) -> Verdict:
    """What caniemail.com knows: nothing lost in Gmail and Apple Mail, elsewhere no more than by bare MJML."""
    if not (tools / "node_modules" / "caniemail").is_dir() or not shutil.which("node"):
        return _absent("caniemail", "caniemail (npm)")
    files = _files(mails, folder)
    files["bare"] = folder / "bare.html"
    files["bare"].write_text(mjml.mjml2html(BARE, disable_comments=True, fonts={}), "utf-8")
    found: Mapping[str, Any] = _node(tools, "caniemail.mjs", {"files": _paths(files), "strict": STRICT_CLIENTS})
    bare = set(found["bare"]["everywhere"])
    faults = [f"{name}: {title} in Gmail or Apple Mail" for name, one in found.items() for title in one["strict"]]
    faults = [fault for fault in faults if not fault.startswith("bare: ")]
    rest = {f"{name}: {title}" for name, one in found.items() for title in one["everywhere"] if title not in bare}
    return Verdict(
        "caniemail", f"{len(faults)} in Gmail and Apple Mail, {len(rest)} more than bare MJML", faults or sorted(rest)
    )


def strict_mjml(markup: Mapping[str, str], tools: Path, folder: Path) -> Verdict:
    """The official compiler in strict mode."""
    if not (tools / "node_modules" / "mjml").is_dir() or not shutil.which("node"):
        return _absent("MJML strict", "mjml (npm)")
    files = {name: folder / f"{name.replace(' ', '-')}.mjml" for name in markup}
    for name, file in files.items():
        file.write_text(markup[name], "utf-8")
    found: Mapping[str, list[str]] = _node(tools, "mjml.mjs", {"files": _paths(files)})
    faults = [f"{name}: {error}" for name, errors in found.items() for error in errors]
    return Verdict("MJML strict", f"{len(faults)} errors in {len(files)} mails", faults)


def lynx(mails: Sequence[Mail], folder: Path) -> Verdict:
    """A text browser shows every title, and no markup of ours."""
    if not shutil.which("lynx"):
        return _absent("lynx", "lynx (Debian)")
    faults, lines = [], 0
    for name, file in _files([mail for mail in mails if mail.is_demo], folder).items():
        options = ["-dump", "-nolist", "-force_html", "-assume_charset=utf-8", "-display_charset=utf-8", "-width=200"]
        shown = _run(["lynx", *options, str(file)]).stdout
        lines += len(shown.splitlines())
        text = next(mail.text for mail in mails if mail.name == name)
        titles = [line.partition(". ")[2] for line in re.findall(r"(?<=={72}\n)\d+\. .+", text)]
        flat = " ".join(shown.split())
        faults += [f"{name}: {title!r} is not shown" for title in titles if title not in flat]
        faults += [f"{name}: {tag} is shown" for tag in re.findall(r"</?(?:td|div|span|mj)\b[^>]*>?", shown)]
    return Verdict("lynx", f"{lines} lines", faults)


def spamassassin(mails: Sequence[Mail], folder: Path) -> Verdict:
    """SpamAssassin without the network, on the demo's mails: what anyone would get, in example.com's name."""
    if not shutil.which("spamassassin"):
        return _absent("SpamAssassin", "spamassassin (Debian)")
    faults, highest = [], 0.0
    for mail in (mail for mail in mails if mail.is_demo):
        done = subprocess.run(
            ["spamassassin", "-L", "-t"], input=mail.message, capture_output=True, timeout=SECONDS, check=True
        )
        report = done.stdout.decode("utf-8", "replace").rpartition("Content analysis details:")[2]
        rules = {
            name: float(points) for points, name in re.findall(r"^\s*(-?\d+\.\d+)\s+([A-Z][A-Z0-9_]+)", report, re.M)
        }
        # What speaks for a mail must not hide what speaks against it.
        score = sum(points for name, points in rules.items() if points > 0 and name not in NO_RECEIVED)
        highest = max(highest, score)
        if score > MOST_SPAM:
            against = ", ".join(f"{name} {points}" for name, points in rules.items() if points > 0)
            faults.append(f"{mail.name}: {score:.1f} ({against})")
    return Verdict("SpamAssassin", f"at most {highest:.1f} of {MOST_SPAM}", faults)


def dkim(mails: Sequence[Mail], tools: Path) -> Verdict:
    """Every mail signed by us: dkimpy finds that it holds, and that it does not once a way out was changed."""
    if not (tools / "python" / "dkim").is_dir():
        return _absent("dkimpy", "dkimpy (PyPI)")
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    signature = Signature("judge", "example.com", private)
    faults = []
    for mail in mails:
        signed = signature.sign(mail.message)
        if not _holds(signed, public, tools):
            faults.append(f"{mail.name}: the signature does not hold")
        if _holds(re.sub(rb"(\nList-Unsubscribe:\s*<https://)", rb"\1x", signed), public, tools):
            faults.append(f"{mail.name}: the signature holds though List-Unsubscribe was changed")
    return Verdict("dkimpy", f"{len(mails)} signed mails, and each with a changed way out", faults)


def _holds(message: bytes, public: str, tools: Path) -> bool:
    """Whether dkimpy takes a signature, by a key that it finds in place of the DNS."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import dkim; "
        "key = f'v=DKIM1; k=rsa; p={sys.argv[2]}'.encode(); "
        "sys.exit(not dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda name, timeout=5: key))"
    )
    command = [sys.executable, "-c", program, str(tools / "python"), public]
    return subprocess.run(command, input=message, capture_output=True, timeout=SECONDS).returncode == 0


def _absent(judge: str, what: str) -> Verdict:
    return Verdict(judge, "", skipped=f"{what} is not here")


def _files(mails: Sequence[Mail], folder: Path) -> dict[str, Path]:
    files = {mail.name: folder / f"{mail.name.replace(' ', '-')}.html" for mail in mails}
    for mail in mails:
        files[mail.name].write_text(mail.html, "utf-8", newline="")
    return files


def _paths(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(file) for name, file in files.items()}


def _node(tools: Path, script: str, given: object) -> Any:
    """What a script of tools/ answers, as JSON. It is copied beside node_modules, which is where Node looks."""
    copied = tools / script
    shutil.copyfile(Path(__file__).parent / "tools" / script, copied)
    done = _run(["node", str(copied), json.dumps(given)])
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS)

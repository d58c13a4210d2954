# Threadmill in a container: no compiler, no development packages, no root. See docs/deploy.md.

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
COPY client/package.json client/
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && find dist -name '*.map' -delete

FROM node:24-slim AS packages
WORKDIR /packages
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --workspaces=false --ignore-scripts --no-audit --no-fund

FROM node:24-slim
# All addresses of the container, so nobody comes in without a key.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8283 REQUIRE_KEYS=1 DATA_DIR=/data
WORKDIR /app
COPY --from=packages /packages/node_modules node_modules
COPY --from=build /build/dist dist
COPY package.json LICENSE README.md CHANGELOG.md ./
COPY bin bin
COPY sql sql
COPY docs docs
# The embedded Postgres keeps its data there; with DATABASE_URL it stays empty. `node` is the image's own user, uid 1000.
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 8283
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/bin/threadmill.mjs"]
CMD ["serve"]

# One server of Carnet. Sources run as they are, on the Node that package.json pins; the base image brings npm and a C library.
FROM node:24-bookworm-slim

WORKDIR /srv/carnet
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force
COPY mappings mappings
COPY fhir-profiles fhir-profiles
COPY server server
COPY deploy deploy

# Nothing is written into the image: the store is elsewhere, and the key is a secret that is mounted.
USER node
ENV CARNET_HOST=0.0.0.0 CARNET_PORT=8103
EXPOSE 8103
STOPSIGNAL SIGTERM
CMD ["node_modules/.bin/node", "server/main.ts"]

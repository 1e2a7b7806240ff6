# gatherer as an image: what docker-compose.yml runs beside its cluster.
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src
WORKDIR /captures
ENTRYPOINT ["gatherer"]

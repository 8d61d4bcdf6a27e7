# syntax-free reference Dockerfile
ARG BASE=busybox:1.36.0
FROM ${BASE} AS builder
ARG VERSION=1.0
ENV APP_HOME=/app APP_VERSION=$VERSION
WORKDIR $APP_HOME
COPY file.txt ./
RUN echo "built $VERSION" > built.txt && \
    cat file.txt
FROM busybox:1.36.0
LABEL org.example.name="demo" org.example.multi="line one"
MAINTAINER Jane <jane@example.com>
ENV A=1
ENV B="two words" C=$A-x
ARG TOKEN
COPY --from=builder /app/built.txt /out/built.txt
COPY --chown=1000:1000 --chmod=755 dir/ /data/dir/
ADD file.txt /added/
RUN ["/bin/sh","-c","echo exec form"]
RUN true
USER 1000:1000
WORKDIR /home
WORKDIR rel
VOLUME ["/vol1", "/vol2"]
EXPOSE 8080 53/udp
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=3s --retries=2 CMD wget -q localhost || exit 1
SHELL ["/bin/sh","-ec"]
ONBUILD COPY . /src
ENTRYPOINT ["/bin/sh","-c"]
CMD ["echo hi"]

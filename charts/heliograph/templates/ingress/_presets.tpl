{{/*
What each ingress controller reads for stickiness and timeouts, and on which object: Traefik, HAProxy
Technologies and GKE read the Service, the others the Ingress. Facts and their sources are in
docs/kubernetes.md. A cookie without an age ends with the browser, and so does each of these.
*/}}

{{/* Whether the Service itself keeps clients on their replica: "true", or empty. */}}
{{- define "heliograph.clientIPAffinity" -}}
{{- $cookie := and .Values.ingress.enabled (ne .Values.ingress.controller "none") -}}
{{- if and (not $cookie) (not .Values.httpRoute.enabled) (gt (int .Values.service.clientIPAffinitySeconds) 0) }}true{{ end -}}
{{- end -}}

{{/* Largest body that a proxy has to let through: the largest message, with some framing. */}}
{{- define "heliograph.maxBodyBytes" -}}
{{- add .Values.settings.WEBSOCKET_MAX_MESSAGE_BYTES 65536 -}}
{{- end -}}

{{- define "heliograph.ingress.serviceAnnotations" -}}
{{- $ingress := .Values.ingress -}}
{{- $cookie := $ingress.stickyCookie -}}
{{- $secure := include "heliograph.stickyCookieSecure" . -}}
{{- if $ingress.enabled -}}
{{- if eq $ingress.controller "traefik" }}
{{- if $cookie.enabled }}
traefik.ingress.kubernetes.io/service.sticky.cookie: "true"
traefik.ingress.kubernetes.io/service.sticky.cookie.name: {{ $cookie.name }}
traefik.ingress.kubernetes.io/service.sticky.cookie.httponly: "true"
traefik.ingress.kubernetes.io/service.sticky.cookie.samesite: {{ $cookie.sameSite | quote }}
traefik.ingress.kubernetes.io/service.sticky.cookie.secure: {{ $secure | default "false" | quote }}
{{- end }}
{{- else if eq $ingress.controller "haproxytech" }}
{{- if $cookie.enabled }}
haproxy.org/cookie-persistence: {{ $cookie.name }}
{{- end }}
haproxy.org/timeout-server: {{ printf "%ds" (int $ingress.proxyTimeoutSeconds) }}
haproxy.org/load-balance: leastconn
{{- else if eq $ingress.controller "gke" }}
cloud.google.com/neg: '{"ingress": true}'
cloud.google.com/backend-config: {{ dict "default" (include "heliograph.fullname" .) | toJson | squote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "heliograph.ingress.ingressAnnotations" -}}
{{- $ingress := .Values.ingress -}}
{{- $cookie := $ingress.stickyCookie -}}
{{- $secure := include "heliograph.stickyCookieSecure" . -}}
{{- $timeout := int $ingress.proxyTimeoutSeconds -}}
{{- $drain := include "heliograph.leastGraceSeconds" . -}}
{{- if eq $ingress.controller "haproxy" }}
{{- if $cookie.enabled }}
haproxy-ingress.github.io/affinity: cookie
haproxy-ingress.github.io/session-cookie-name: {{ $cookie.name }}
haproxy-ingress.github.io/session-cookie-keywords: indirect nocache httponly{{ if $secure }} secure{{ end }}
# "true" adds SameSite=None; without it browsers treat the cookie as lax.
haproxy-ingress.github.io/session-cookie-same-site: {{ eq $cookie.sameSite "none" | quote }}
# Not the name of the server: a pod in the place of another does not inherit its sessions.
haproxy-ingress.github.io/session-cookie-value-strategy: pod-uid
{{- end }}
haproxy-ingress.github.io/balance-algorithm: leastconn
haproxy-ingress.github.io/timeout-server: {{ printf "%ds" $timeout }}
haproxy-ingress.github.io/timeout-tunnel: {{ printf "%ds" $timeout }}
haproxy-ingress.github.io/proxy-body-size: {{ include "heliograph.maxBodyBytes" . | quote }}
{{- else if eq $ingress.controller "nginx" }}
{{- if $cookie.enabled }}
nginx.ingress.kubernetes.io/affinity: cookie
# Balanced would move sessions when pods come; Traefik's provider knows only this.
nginx.ingress.kubernetes.io/affinity-mode: persistent
nginx.ingress.kubernetes.io/session-cookie-name: {{ $cookie.name }}
nginx.ingress.kubernetes.io/session-cookie-path: /
nginx.ingress.kubernetes.io/session-cookie-secure: {{ $secure | default "false" | quote }}
nginx.ingress.kubernetes.io/session-cookie-samesite: {{ $cookie.sameSite | title | quote }}
nginx.ingress.kubernetes.io/session-cookie-change-on-failure: "true"
{{- end }}
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $timeout | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $timeout | quote }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-body-size: {{ include "heliograph.maxBodyBytes" . | quote }}
{{- else if eq $ingress.controller "nginxinc" }}
{{- $service := include "heliograph.fullname" . }}
{{- if $cookie.enabled }}
nginx.org/sticky-cookie-services: serviceName={{ $service }} {{ $cookie.name }} httponly{{ if $secure }} secure{{ end }} path=/
{{- end }}
nginx.org/websocket-services: {{ $service }}
nginx.org/proxy-read-timeout: {{ printf "%ds" $timeout }}
nginx.org/proxy-send-timeout: {{ printf "%ds" $timeout }}
nginx.org/proxy-buffering: "False"
nginx.org/client-max-body-size: {{ include "heliograph.maxBodyBytes" . | quote }}
{{- else if eq $ingress.controller "alb" }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/healthcheck-path: /ready
alb.ingress.kubernetes.io/target-group-attributes: {{ include "heliograph.ingress.albTargetGroup" . }}
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ $timeout }}
{{- else if eq $ingress.controller "agic" }}
{{- if $cookie.enabled }}
appgw.ingress.kubernetes.io/cookie-based-affinity: "true"
{{- end }}
appgw.ingress.kubernetes.io/request-timeout: {{ $timeout | quote }}
appgw.ingress.kubernetes.io/connection-draining: "true"
appgw.ingress.kubernetes.io/connection-draining-timeout: {{ $drain | quote }}
appgw.ingress.kubernetes.io/health-probe-path: /ready
{{- end }}
{{- end -}}

{{- define "heliograph.ingress.albTargetGroup" -}}
{{- if .Values.ingress.stickyCookie.enabled -}}
stickiness.enabled=true,stickiness.type=lb_cookie,stickiness.lb_cookie.duration_seconds=86400,
{{- end -}}
deregistration_delay.timeout_seconds={{ include "heliograph.leastGraceSeconds" . }},load_balancing.algorithm.type=least_outstanding_requests
{{- end -}}

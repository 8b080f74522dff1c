{{- define "mendloop.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 57 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 57 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Never changes for a release: a Deployment's selector is immutable. */ -}}
{{- define "mendloop.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: service
{{- end -}}

{{- define "mendloop.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: service
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "mendloop.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mendloop.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "mendloop.pod-security" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /*
A table as TOML, given as a dict with its `name` and its `content`. Not toToml: to Helm every number in
a file of values is a float, and toToml writes 30 as 30.0.
*/ -}}
{{- define "mendloop.toml" -}}
{{- range $key, $value := .content }}
{{- if not (kindIs "map" $value) }}
{{ include "mendloop.toml-key" $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- range $key, $value := .content }}
{{- if kindIs "map" $value }}
{{- $name := printf "%s.%s" $.name (include "mendloop.toml-key" $key) | trimPrefix "." }}
[{{ $name }}]
{{- include "mendloop.toml" (dict "name" $name "content" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "mendloop.toml-key" -}}
{{- ternary . (toJson .) (regexMatch "^[A-Za-z0-9_-]+$" .) -}}
{{- end -}}

{{- define "mendloop.settings" -}}
{{- include "mendloop.toml" (dict "name" "" "content" .Values.config) | trim -}}
{{- end -}}

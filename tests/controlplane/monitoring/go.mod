// The definitions of ServiceMonitor and PrometheusRule are files in this module; nothing is built from it.
module mendloop.test/monitoring

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.92.0

// Package operator names, for go.mod, the types of the Prometheus Operator's objects, which make check-deploy has their definitions generated from.
package operator

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

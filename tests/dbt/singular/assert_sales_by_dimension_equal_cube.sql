-- Of each day every dimension's members add up to what the cube has.
with

cube as (

    select
        sales_date,
        sum(total_sales_amount) as total_sales_amount,
        sum(cm2_amount) as cm2_amount,
        sum(units) as units,
        sum(orders) as orders
    from {{ ref('agg_sales_cube') }}
    where {{ is_tested('day', 'sales_date') }}
    group by sales_date

),

dimensions as (

    select
        dimension,
        sales_date,
        sum(total_sales_amount) as total_sales_amount,
        sum(cm2_amount) as cm2_amount,
        sum(units) as units,
        sum(orders) as orders
    from {{ ref('agg_sales_by_dimension') }}
    where {{ is_tested('day', 'sales_date') }}
    group by dimension, sales_date

)

select
    coalesce(cube.sales_date, dimensions.sales_date) as sales_date,
    dimensions.dimension
from cube
full join dimensions
    on cube.sales_date = dimensions.sales_date
where
    cube.sales_date is null
    or dimensions.sales_date is null
    or cube.total_sales_amount <> dimensions.total_sales_amount
    or cube.cm2_amount <> dimensions.cm2_amount
    or cube.units <> dimensions.units
    or cube.orders <> dimensions.orders
